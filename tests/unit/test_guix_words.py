"""What guix is told, and what is taken from what it says."""

import shutil
from pathlib import Path

import pytest

from treesmith.errors import Error, UsageError
from treesmith.steps import Setting, Step, gather, guix
from treesmith.steps.nix import packages

HASH = "0" * 32


def test_the_command() -> None:
    argv = guix.command("guix", "armv7l", ["hello", "gcc:lib"])
    assert argv[:2] == ["guix", "pack"] and argv[-3:] == ["--", "hello", "gcc:lib"]
    assert "--system=armhf-linux" in argv and "--symlink=/var/guix/profiles/default=" in argv
    assert "--system=x86_64-linux" in guix.command("guix", "x86_64", ["hello"])


def test_a_pack() -> None:
    path = f"/gnu/store/{HASH}-hello-tarball-pack.tar"
    assert guix.made(f"{path}\n".encode()) == path
    for said in ("", "/etc/passwd\n", f"{path}/../../etc/shadow.tar\n", f"{path}.gz\n"):
        with pytest.raises(Error, match="says nothing of a pack"):
            guix.made(said.encode())


def test_what_is_in_a_store() -> None:
    listed = f"/gnu/store/{HASH}-hello-2.12.1\n/gnu/store/{HASH}-profile\n/gnu/store/.links\n/nix/store/{HASH}-a-1"
    assert packages(listed) == {"hello": "2.12.1", "profile": "", "a": "1"}


def test_what_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[[step]]\nguix = ["hello"]\n')
    step = Step(1, "guix", {"packages": ("hello",)}, str(tmp_path / "a.toml"), str(tmp_path))
    if not shutil.which("guix"):
        with pytest.raises(UsageError, match="guix is not installed") as caught:
            gather(step, Setting("x86_64"))
        assert "Debian has no package of it" in caught.value.hint
