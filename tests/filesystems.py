"""Filesystems to keep stores on: the host's own, and others on loop devices that go with the `with` block."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

MIB = 1 << 20
MKFS = {
    "ext4": ["mkfs.ext4", "-q", "-m", "0", "-F"],
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
    "btrfs": ["mkfs.btrfs", "-q", "-m", "single"],
}
SIZES = {"ext4": 64 * MIB, "xfs": 320 * MIB, "btrfs": 128 * MIB}  # the smallest that they take, or nearly


@contextmanager
def xfs(folder: Path, size: int = 512 * MIB) -> Iterator[Path]:
    with _loop(folder, "xfs", size) as mounted:
        yield mounted


@contextmanager
def ext4(folder: Path, size: int = 64 * MIB) -> Iterator[Path]:
    with _loop(folder, "ext4", size) as mounted:
        yield mounted


@contextmanager
def btrfs(folder: Path, size: int = 512 * MIB) -> Iterator[Path]:
    with _loop(folder, "btrfs", size) as mounted:
        yield mounted


@contextmanager
def zfs(folder: Path, size: int = 512 * MIB) -> Iterator[Path]:
    """A pool on a file. Only where the kernel has ZFS: in the guest."""
    image, mounted = folder / "image", folder / "mounted"
    with image.open("wb") as file:
        os.truncate(file.fileno(), size)
    options = ["-O", f"mountpoint={mounted}", "-O", "acltype=posixacl", "-O", "xattr=sa"]
    subprocess.run(["zpool", "create", *options, "treesmith-test", image], check=True)
    try:
        yield mounted
    finally:
        subprocess.run(["zpool", "destroy", "treesmith-test"], check=True)
        image.unlink()


GROUND: dict[str, Callable[[Path], AbstractContextManager[Path]]] = {
    "ext4": ext4,
    "xfs": xfs,
    "btrfs": btrfs,
    "zfs": zfs,
}


def format_image(filesystem: str, image: Path, size: int = 0) -> None:
    with image.open("wb") as file:
        os.truncate(file.fileno(), size or SIZES[filesystem])
    subprocess.run([*MKFS[filesystem], image], check=True)


def unmount(mounted: Path) -> None:
    """Who was killed may hold it for a moment still."""
    for _ in range(50):
        if not subprocess.run(["umount", mounted], capture_output=True, check=False).returncode:
            return
        time.sleep(0.1)
    subprocess.run(["umount", mounted], check=True)


def let_go(folder: Path) -> None:
    """Whatever is mounted below: container tools bind their folders onto themselves, and leave that."""
    rows = [line.split(" ", 5) for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for place in sorted((row[4] for row in rows), reverse=True):
        if Path(place).is_relative_to(folder):
            subprocess.run(["umount", "-l", place], check=True)


@contextmanager
def _loop(folder: Path, filesystem: str, size: int) -> Iterator[Path]:
    """The image is in memory: what is synced on a loop device is otherwise synced twice."""
    memory, mounted = folder / "memory", folder / "mounted"
    memory.mkdir()
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tests", memory], check=True)
    format_image(filesystem, memory / "image", size)
    subprocess.run(["mount", "-o", "loop", memory / "image", mounted], check=True)  # the device goes with the mount
    try:
        yield mounted
    finally:
        unmount(mounted)
        subprocess.run(["umount", "-l", memory], check=True)  # the kernel lets go of the device a bit later
