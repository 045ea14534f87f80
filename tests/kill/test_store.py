"""SIGKILL and a full disk at every call of treesmith's own by which a change of a store changes the disk.

Afterwards every tree is there whole or not at all, under its name, with its content; the next writer clears up, twice
is like once; and the same change then goes through.
"""

import os
from pathlib import Path

import points
import pytest
import strike
from grow import make
from scenes import REMOVING, Scene, clear, empty, forest, mess, tidy

from treesmith.errors import Error
from treesmith.store import create_store, open_store

CHANGES = [
    "build", "replace", "snapshot", "snapshot_writable", "seal", "rename", "update", "remove", "prune", "throwaway",
    "recover",
]  # fmt: skip


def struck(scene: Scene, fault: str, capsys: pytest.CaptureFixture[str], **more: str) -> int:
    scene.begin()
    try:
        hits = scene.endure(fault, **more)
    finally:
        scene.end()
    with capsys.disabled():
        print(f" {hits} points", end="")
    return hits


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("fault", [strike.KILL, strike.NO_SPACE])
def test_every_blow(
    ground: tuple[str, Path], change: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend, folder = ground
    scene = Scene(change, backend, folder, tmp_path, mess if change == "recover" else forest)
    assert struck(scene, fault, capsys) > 1


@pytest.mark.parametrize("ground", [("copy", "ext4"), ("copy", "xfs")], ids="@".join, indirect=True)
@pytest.mark.parametrize("fault", [strike.KILL, strike.NO_SPACE])
def test_the_copier_is_struck(
    ground: tuple[str, Path], fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend, folder = ground
    assert struck(Scene("snapshot", backend, folder, tmp_path), fault, capsys, program="cp") > 50


@pytest.mark.parametrize("fault", [strike.KILL, strike.NO_SPACE])
def test_a_store_that_was_half_made(
    ground: tuple[str, Path], fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend, folder = ground
    path = folder / "store"

    def prepare() -> None:
        clear(path, backend)
        empty(path, backend)

    hits = 0
    for blow in points.each(lambda: create_store(str(path), backend), tmp_path, prepare, fault):
        hits += blow.hit
        assert blow.hit or blow.status == 0, str(blow)
        if blow.status == 1 and not REMOVING.search(blow.struck):
            assert not path.exists() or not os.listdir(path) or "store.json" in os.listdir(path), str(blow)
        try:
            open_store(str(path))
        except Error:
            pass
        store = create_store(str(path), backend)
        make(store, "base")
        assert store.recover() == []
        tidy(store)
    clear(path, backend)
    with capsys.disabled():
        print(f" {hits} points", end="")
    assert hits > 20
