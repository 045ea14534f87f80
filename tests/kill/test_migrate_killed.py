"""SIGKILL and a full disk at each place where a move changes a disk: the source is as it was, and it goes on."""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import filesystems
import pytest
import strike
from forest import content, opened
from grow import make, step
from scenes import subvolumes, tidy

from treesmith.backends.subvolumes import delete
from treesmith.compare import differences
from treesmith.errors import Error
from treesmith.linux.remove import remove_tree
from treesmith.store import Store, create_store, open_store

CALLS = (*strike.CALLS, "?mknod,?mknodat", "?sendfile", "?setxattr,?chown,?lchown,?fchownat")


def grove(path: Path, backend: str) -> Store:
    store = create_store(str(path), backend)
    base = make(store, "base", step(store, "one"))
    with opened(store, store.snapshot(base, "web")) as root:
        (root / "made").unlink()
        os.mkfifo(root / "fifo")
        (root / "own").write_text("own")
        os.link(root / "own", root / "own too")
        os.setxattr(root / "own", "user.note", b"note")
    return store


@pytest.mark.parametrize(
    ("backend", "other", "fault", "filesystem"),
    [
        ("overlay", "copy", strike.KILL, ""),
        ("copy", "overlay", strike.KILL, ""),
        ("overlay", "copy", strike.NO_SPACE, ""),
        ("overlay", "btrfs", strike.KILL, "btrfs"),
        ("btrfs", "overlay", strike.NO_SPACE, "btrfs"),
    ],
)
def test_every_blow(
    backend: str, other: str, fault: str, filesystem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with filesystems.GROUND[filesystem](tmp_path) if filesystem else nullcontext(tmp_path) as ground:
        hits = blows(backend, other, fault, ground, tmp_path)
    with capsys.disabled():
        print(f" {hits} points", end="")
    assert hits > 30


def blows(backend: str, other: str, fault: str, ground: Path, tmp_path: Path) -> int:
    source = grove(ground / "source", backend)
    path = ground / "target"
    whole = {tree.id: content(source, tree) for tree in source.trees()}
    names = source.names()
    command = [sys.executable, "-B", "-m", "treesmith", "--store", source.path, "migrate", "--to", f"{other}:{path}"]
    env = {"PYTHONPATH": os.pathsep.join(sys.path)}

    def prepare() -> None:
        for root in path.glob("*/*/root") if other == "btrfs" else ():
            delete(subvolumes(), str(root))
        remove_tree(str(path))
        assert source.recover() == []

    hits = 0
    for blow in strike.each(command, tmp_path, prepare, fault, CALLS, env):
        hits += blow.hit
        assert blow.hit or blow.status == 0, str(blow)
        if blow.status:
            try:
                seen = open_store(str(path)).names()
            except Error:
                seen = None
            assert seen in (None, names), str(blow)
            done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{blow}\n{done.stdout}\n{done.stderr}"
        target = open_store(str(path))
        assert target.recover() == []
        tidy(target)
        for store in (source, target):
            assert store.names() == names, str(blow)
            assert {tree.id for tree in store.trees()} == whole.keys(), str(blow)
            for tree in store.trees():
                assert not list(differences(whole[tree.id], content(store, tree))), str(blow)
    return hits
