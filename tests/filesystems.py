"""Filesystems to keep stores on: the host's own, and others on loop devices that go with the `with` block."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1 << 20
MKFS = {
    "ext4": ["mkfs.ext4", "-q", "-m", "0", "-F"],
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
    "btrfs": ["mkfs.btrfs", "-q", "-m", "single"],
}
SIZES = {"ext4": 64 * MIB, "xfs": 320 * MIB, "btrfs": 128 * MIB}  # the smallest that they take, or nearly


@contextmanager
def host(folder: Path) -> Iterator[Path]:
    yield folder


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


def format_image(filesystem: str, image: Path, size: int = 0) -> None:
    with image.open("wb") as file:
        os.truncate(file.fileno(), size or SIZES[filesystem])
    subprocess.run([*MKFS[filesystem], image], check=True)


@contextmanager
def _loop(folder: Path, filesystem: str, size: int) -> Iterator[Path]:
    image, mounted = folder / "image", folder / "mounted"
    format_image(filesystem, image, size)
    mounted.mkdir()
    subprocess.run(["mount", "-o", "loop", image, mounted], check=True)  # the loop device goes with the mount
    try:
        yield mounted
    finally:
        subprocess.run(["umount", mounted], check=True)
        image.unlink()
