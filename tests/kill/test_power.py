"""The power fails: what a change promised on its return is there, and in the middle of it nothing is half there."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import filesystems
import pytest
import scenes
import strike
from disk import Disk
from restless import Restless, broken, state, told

from treesmith.store import create_store, open_store

MOMENTS = 40


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with filesystems.xfs(tmp_path_factory.mktemp("bed"), 4096 * filesystems.MIB) as folder:
        yield folder


class Powered(scenes.Scene):
    """A scene on a filesystem of its own, of which each run gets a fresh image."""

    def __init__(self, change: str, backend: str, disk: Disk, folder: Path) -> None:
        self.disk = disk
        super().__init__(change, backend, disk.mounted, folder)

    def place(self) -> Path:
        scenes.forest(self.ground / "store", self.backend)
        self.disk.keep(self.disk.bed / "template")
        return self.ground / "store"

    def prepare(self) -> None:
        self.disk.restore(self.disk.bed / "template")

    def check(self, blow: strike.Blow) -> None:
        self.disk.fail()
        self.disk.come_back()
        if not blow.hit:
            self.same(scenes.named(open_store(str(self.path))), self.after)
        super().check(blow)


@pytest.fixture(params=[("overlay", "ext4"), ("overlay", "xfs"), ("btrfs", "btrfs")], ids="@".join)
def powered(request: pytest.FixtureRequest, bed: Path, tmp_path: Path) -> Iterator[tuple[str, Disk]]:
    backend, filesystem = request.param
    (tmp_path / "disk").mkdir()
    disk = Disk(filesystem, bed, tmp_path / "disk")
    yield backend, disk
    disk.off()
    for image in bed.iterdir():
        image.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("change", ["build", "snapshot", "snapshot_writable", "seal", "rename", "update", "remove"])
def test_the_power_fails(
    change: str, powered: tuple[str, Disk], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend, disk = powered
    scene = Powered(change, backend, disk, tmp_path)
    scene.begin()
    hits = scene.endure(strike.KILL, only="rename|sync|ioctl")
    with capsys.disabled():
        print(f" {hits} points", end="")
    assert hits


EVERY = [("overlay", "ext4"), ("overlay", "xfs"), ("copy", "ext4"), ("copy", "xfs"), ("btrfs", "btrfs")]


@pytest.mark.slow
@pytest.mark.parametrize("powered", EVERY, ids="@".join, indirect=True)
def test_the_power_fails_at_random_moments(powered: tuple[str, Disk], capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever was promised before is whole after, again and again on the same disk."""
    backend, disk = powered
    path = f"{disk.mounted}/store"
    create_store(path, backend)
    changes = 0
    for moment in range(MOMENTS):
        surely, lines = disturbed(path, disk, random.Random(f"{backend} {disk.filesystem} {moment}"))
        promised, begun = told(lines)
        allowed = [*promised[len(told(lines[:surely])[0]) - 1 :], begun]
        changes += len(promised) - 1
        store = open_store(path)
        for _ in range(2):
            wrong = broken(state(store), allowed)
            assert not wrong, f"moment {moment}: {wrong}: {state(store)} {allowed}"
            assert store.recover() == []
            scenes.tidy(store)
    with capsys.disabled():
        print(f" {MOMENTS} moments, {changes} changes", end="")
    assert changes > MOMENTS


def disturbed(path: str, disk: Disk, chance: random.Random) -> tuple[int, list[str]]:
    """The power fails while somebody changes the store. How many lines he had said before, and all that he said.

    The rest may have happened or not: xfs lets a sync go through that comes upon the shutdown.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setpgid(0, 0)
            Restless(open_store(path), writing, chance).run()
        finally:
            os._exit(1)  # its disk is gone
    os.close(writing)
    said = os.read(reading, 65536)
    time.sleep(chance.uniform(0, 0.2))
    os.set_blocking(reading, False)
    try:
        while more := os.read(reading, 65536):
            said += more
    except BlockingIOError:
        pass
    before = said.count(b"\n")
    disk.fail()
    os.killpg(child, signal.SIGKILL)
    try:
        while True:
            os.waitpid(-child, 0)  # and what it had started
    except ChildProcessError:
        pass
    os.set_blocking(reading, True)
    with open(reading, "rb") as pipe:
        said += pipe.read()
    disk.come_back()
    return before, said.decode().split("\n")[:-1]
