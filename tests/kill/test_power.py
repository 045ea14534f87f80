"""The power fails: what a change promised on its return is there, and in the middle of it nothing is half there.

FS_IOC_SHUTDOWN without flushing the log: whatever is not on the disk by then is lost (ext4 and xfs).
"""

import fcntl
import os
import subprocess
import time
from pathlib import Path

import filesystems
import pytest
import scenes
import strike

from treesmith.store import open_store

_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2


class Powered(scenes.Scene):
    """A scene on a filesystem of its own, of which each run gets a fresh image."""

    def __init__(self, change: str, filesystem: str, folder: Path) -> None:
        self.filesystem, self.mounted = filesystem, folder / "mounted"
        self.image, self.loop = folder / "template", ""
        super().__init__(change, "overlay", folder)

    def place(self) -> Path:
        filesystems.format_image(self.filesystem, self.image)
        self.mounted.mkdir()
        self.on()
        scenes.forest(self.mounted / "store", self.backend)
        self.off()
        return self.mounted / "store"

    def prepare(self) -> None:
        self.off()
        template, self.image = self.folder / "template", self.folder / "image"
        self.image.unlink(missing_ok=True)  # a new inode: nothing of the old loop device may still come to it
        subprocess.run(["cp", "--sparse=always", template, self.image], check=True)
        self.on()

    def on(self) -> None:
        done = subprocess.run(["losetup", "-f", "--show", self.image], check=True, capture_output=True, text=True)
        self.loop = done.stdout.strip()
        subprocess.run(["mount", self.loop, self.mounted], check=True)

    def off(self) -> None:
        if self.loop:
            subprocess.run(["umount", self.mounted], check=True)
            subprocess.run(["losetup", "-d", self.loop], check=True)
            while Path("/sys/block", Path(self.loop).name, "loop/backing_file").exists():
                time.sleep(0.01)
            self.loop = ""

    def cut(self) -> None:
        folder = os.open(self.mounted, os.O_RDONLY)
        fcntl.ioctl(folder, _SHUTDOWN, _NO_LOG_FLUSH.to_bytes(4, "little"))
        os.close(folder)
        self.off()
        self.on()

    def check(self, blow: strike.Blow) -> None:
        self.cut()
        if not blow.hit:
            self.same(scenes.named(open_store(str(self.path))), self.after)
        super().check(blow)


@pytest.mark.slow
@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
@pytest.mark.parametrize("change", ["build", "snapshot", "snapshot_writable", "seal", "rename", "update", "remove"])
def test_the_power_fails(change: str, filesystem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = Powered(change, filesystem, tmp_path)
    try:
        scene.begin()
        hits = scene.endure(strike.KILL, [group for group in strike.CALLS if "rename" in group or "sync" in group])
    finally:
        scene.off()
    with capsys.disabled():
        print(f" {hits} points", end="")
    assert hits
