"""A disk whose power fails, on a loop device: what was not written by then is lost.

ext4 and xfs are shut down without flushing their log (FS_IOC_SHUTDOWN). Of btrfs, which cannot be, the image is copied
while it is mounted, and the copy is mounted then. Images lie on an xfs in memory, where a copy is one moment.
"""

import fcntl
import os
import subprocess
import time
from pathlib import Path

import filesystems

_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
_OPTIONS = {"ext4": [], "xfs": ["-o", "nouuid"], "btrfs": []}


class Disk:
    def __init__(self, filesystem: str, bed: Path, mounted: Path) -> None:
        """A new one, mounted at `mounted`. bed: a folder on an xfs."""
        self.filesystem, self.bed, self.mounted = filesystem, bed, mounted
        self._image, self._loop, self._number = bed / "disk", "", 0
        filesystems.format_image(filesystem, self._image)
        self._on()

    def keep(self, template: Path) -> None:
        """What is on it now, for `restore`."""
        self.off()
        self._image.rename(template)

    def restore(self, template: Path) -> None:
        self.off()
        self._copy(template)
        self._on()

    def fail(self) -> None:
        if self.filesystem == "btrfs":
            self._copy(self._image)
        else:
            folder = os.open(self.mounted, os.O_RDONLY)
            fcntl.ioctl(folder, _SHUTDOWN, _NO_LOG_FLUSH.to_bytes(4, "little"))
            os.close(folder)

    def come_back(self) -> None:
        """Nobody uses it any more."""
        self.off()
        self._on()

    def off(self) -> None:
        if self._loop:
            filesystems.unmount(self.mounted)
            subprocess.run(["losetup", "-d", self._loop], check=True)
            while Path("/sys/block", Path(self._loop).name, "loop/backing_file").exists():
                time.sleep(0.01)
            self._loop = ""

    def _copy(self, image: Path) -> None:
        """A new file each time: nothing of the old loop device may still come to it."""
        if self._image != image:
            self._image.unlink(missing_ok=True)
        self._number += 1
        self._image = self.bed / f"disk-{self._number}"
        subprocess.run(["cp", "--reflink=always", image, self._image], check=True)

    def _on(self) -> None:
        done = subprocess.run(["losetup", "-f", "--show", self._image], check=True, capture_output=True, text=True)
        self._loop = done.stdout.strip()
        subprocess.run(["mount", *_OPTIONS[self.filesystem], self._loop, self.mounted], check=True)
