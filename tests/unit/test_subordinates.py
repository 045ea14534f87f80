"""What a plain user is told where something forbids a user namespace, or nobody gave him ids."""

from pathlib import Path

import pytest

from treesmith import rootless
from treesmith.errors import Error

APPARMOR = "apparmor_restrict_unprivileged_userns"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("kernel/unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
        (f"kernel/{APPARMOR}", "1", f"sudo sysctl -w kernel.{APPARMOR}=0"),
        ("user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=15000"),
        ("user/max_user_namespaces", "96365", ""),
        ("kernel/unprivileged_userns_clone", "1", ""),
    ],
)  # fmt: skip
def test_the_setting_that_forbids_it(tmp_path: Path, name: str, value: str, told: str) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(f"{value}\n")
    assert rootless.advice(str(tmp_path)) == told


def test_files_that_usermod_wants_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user, group = tmp_path / "subuid", tmp_path / "subgid"
    monkeypatch.setattr(rootless, "_RANGES", {"uid": str(user), "gid": str(group)})
    user.write_text("you:100000:65536\nshe:300000:65536\n")
    with pytest.raises(Error) as caught:
        rootless._maps("me", 1000, 1000)
    added = "--add-subuids 365536-431071 --add-subgids 365536-431071"
    assert caught.value.hint == f"sudo touch {group}; sudo usermod {added} me"
    group.write_text("me:500000:70000\n")
    user.write_text("me:10:20\n1000:800000:65536\n")
    assert rootless._maps("me", 1000, 1001) == {
        "uid": (0, 800000, 65536, 65536, 1000, 1),
        "gid": (0, 500000, 65536, 65536, 1001, 1),
    }
