"""Roots as a container gets them: id-mapped, in a user namespace, with what it makes there kept as if made outside."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from forest import content, opened
from roots import busybox

import treesmith.backends.merged
from treesmith.run import run
from treesmith.sandbox.sandbox import Sandbox
from treesmith.store import Store, Tree


def inside(store: Store, root, script: str, mode: str = "rw") -> list[str]:
    """Lines that a shell in the root says."""
    lines: list[str] = []
    log = os.open("/dev/null", os.O_WRONLY)
    view = store.backend.open(root, mode)
    try:
        run(Sandbox(view, ("sh", "-e", "-c", script)), log, lines.append)
    finally:
        view.close()
        os.close(log)
    return lines


@pytest.fixture
def base(store: Store, tmp_path: Path) -> Tree:
    busybox(tmp_path / "box")
    with store.stage() as stage:
        stage.create()
        with opened(store, stage) as root:
            shutil.copytree(tmp_path / "box", root, symlinks=True, dirs_exist_ok=True)
            for name in ("proc", "sys", "dev"):
                (root / name).mkdir()  # nobody can make them in a read-only root
            for name in ("one", "two", "sub/three"):
                (root / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
                (root / "folder" / name).write_text(name)
            os.chown(root / "folder", 1000, 1000)
        return store.publish(stage, "build", "base", sealed=True)


def test_ids_on_disk_never_shift(store: Store, base: Tree) -> None:
    tree = store.snapshot(base, "tree")
    said = inside(store, tree, "stat -c %u:%g / /folder /bin; touch /mine; chown 33:44 /mine; touch /root/mine")
    assert said == ["0:0", "1000:1000", "0:0"]
    owners = {entry.path: (entry.uid, entry.gid) for entry in content(store, tree)}
    assert owners["mine"] == (33, 44)
    assert owners["root/mine"] == (0, 0)
    assert owners["folder"] == (1000, 1000)


def test_every_mode_and_a_tree_without_source(store: Store, base: Tree) -> None:
    with pytest.raises(Exception, match="Read-only"):
        inside(store, base, "touch /no", "ro")
    with store.throwaway(base) as stage:
        inside(store, stage, "rm -r folder; mkdir folder", "ephemeral")
        assert inside(store, stage, "ls folder", "ephemeral") == []
    assert inside(store, base, "ls folder", "ro") == ["one", "sub", "two"]


@pytest.mark.parametrize("turns", [("in", "out", "in"), ("out", "in", "out")], ids="-".join)
def test_deleted_files_stay_deleted_wherever_they_were_deleted(
    store: Store, base: Tree, turns: tuple[str, ...]
) -> None:
    """In a container and out of it: both must leave marks that the other reads."""
    tree = base
    for number, turn in enumerate(turns):
        tree = store.snapshot(tree, f"generation-{number}")
        if turn == "in":
            inside(
                store, tree, f"rm -r /folder; mkdir /folder; touch /folder/{number}; rm /etc/group; touch /etc/group"
            )
        else:
            with opened(store, tree) as root:
                shutil.rmtree(root / "folder")
                (root / "folder").mkdir()
                (root / f"folder/{number}").touch()
                (root / "etc/passwd").unlink()
                (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
        assert inside(store, tree, "ls /folder") == [str(number)]
        with opened(store, tree, "ro") as root:
            assert os.listdir(root / "folder") == [str(number)]
        tree = store.snapshot(tree, f"copy-{number}")
        assert inside(store, tree, "ls /folder") == [str(number)]
    sealed = store.seal(tree)
    assert inside(store, sealed, "ls /folder; ls /bin/busybox", "ro") == [str(len(turns) - 1), "/bin/busybox"]


@pytest.mark.parametrize("ground", [("overlay", "ext4"), ("overlay", "xfs")], ids="@".join, indirect=True)
def test_before_linux_6_5(store: Store, base: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without lowerdir+, and with options of 255 bytes at most, a deep tree still opens."""
    real, said = treesmith.backends.merged.new_mount, []

    def old(fstype: str, attributes: int = 0, options=()) -> int:
        for key, value in options:
            if key == "lowerdir+" or len(value or "") > 255:
                raise OSError(errno.EINVAL, "Invalid argument", f"{key}={value}")
        said.append(len(options[0][1]))
        return real(fstype, attributes, options)

    monkeypatch.setattr(treesmith.backends.merged, "new_mount", old)
    tree = base
    for number in range(70):
        tree = store.snapshot(tree, f"n{number}")
    for number in (50, 57, 58, 59, 60, 69):
        tree = store.find(f"n{number}")
        assert inside(store, tree, f"rm /folder/one; ls /folder; touch /folder/{number}") == ["sub", "two"]
        with opened(store, tree) as root:
            assert sorted(os.listdir(root / "folder")) == sorted(["sub", "two", str(number)])
    assert max(said) > 150
