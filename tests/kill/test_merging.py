"""SIGKILL and a full disk at every call that changes the disk, of a prune that makes one layer of several."""

import shutil
from pathlib import Path

import pytest
import strike
from forest import opened
from grow import make
from scenes import Scene

from treesmith.store import create_store
from treesmith.store.prune import plan


def deep(path: Path, backend: str) -> None:
    """Two lines of layers: one that two trees hold, and one under a writable tree."""
    store = create_store(str(path), backend)
    tree = base = make(store, "base")
    for number in range(3):
        tree = store.snapshot(tree, f"n{number}")
        with opened(store, tree) as root:
            shutil.rmtree(root / "folder", ignore_errors=True)
            (root / "folder").mkdir()
            (root / f"folder/{number}").touch()
            (root / "file").write_text("x" * number * 10000)
        store.update(store.seal(tree), parent=None)
    other = store.snapshot(tree, "other")
    store.update(other, parent=None)
    store.remove([store.find("n0"), store.find("n1")])
    for number in range(2):
        with opened(store, store.find("other")) as root:
            (root / f"other-{number}").touch()
            (root / "made").unlink(missing_ok=True)
        store.remove([store.snapshot(store.find("other"), "gone")])
    store.snapshot(base, "beside")
    assert sorted(each.what for each in plan(store)) == ["2 layers of other", "3 layers of n2 and 1 more"]


@pytest.mark.parametrize("fault", [strike.KILL, strike.NO_SPACE])
def test_every_blow(fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = Scene("prune", "overlay", tmp_path, tmp_path, deep)
    scene.begin()
    try:
        hits = scene.endure(fault)
    finally:
        scene.end()
    with capsys.disabled():
        print(f" {hits} points", end="")
    assert hits > 30
