"""SIGKILL and a full disk at every rename, mkdir, link, symlink, unlink and sync of everything that changes a store.

Afterwards every tree is there whole or not at all, under its name, with its content; the next writer clears up, twice
is like once; and the same change then goes through.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest
import strike
from grow import make
from scenes import DRIVER, Scene, forest, mess, tidy

from treesmith.errors import Error
from treesmith.store import Store, create_store, open_store

ALL = [
    "build", "snapshot", "snapshot_writable", "seal", "rename", "update", "remove", "prune", "throwaway", "recover",
]  # fmt: skip


CASES = [("overlay", change) for change in ALL] + [("copy", change) for change in ("build", "snapshot", "remove")]


@pytest.mark.parametrize(("backend", "change"), CASES)
@pytest.mark.parametrize("fault", [strike.KILL, strike.NO_SPACE])
def test_every_blow(backend: str, change: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = Scene(change, backend, tmp_path, mess if change == "recover" else forest)
    scene.begin()
    hits = scene.endure(fault)
    with capsys.disabled():
        print(f" {hits} points", end="")
    assert hits > (0 if change == "rename" else 2)
    Store(str(scene.path), backend).backend.clear(str(tmp_path))


@pytest.mark.parametrize("fault", [strike.KILL, strike.NO_SPACE])
def test_a_store_that_was_half_made(fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "store"
    command = [sys.executable, "-B", str(DRIVER), str(path), "create"]
    env = {"PYTHONPATH": os.pathsep.join(sys.path)}
    hits = 0
    for blow in strike.each(command, tmp_path, lambda: shutil.rmtree(path, ignore_errors=True), fault, env=env):
        hits += blow.hit
        assert blow.hit or blow.status == 0, str(blow)
        if fault == strike.NO_SPACE and blow.status:
            assert not path.exists() or open_store(str(path)), str(blow)
        try:
            open_store(str(path))
        except Error:
            pass
        store = create_store(str(path))
        assert store.backend.name in ("overlay", "copy")
        make(store, "base")
        assert store.recover() == []
        tidy(store)
    with capsys.disabled():
        print(f" {hits} points", end="")
    assert hits > 20
