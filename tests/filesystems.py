"""Filesystems to keep stores on: the host's own, and others on loop devices that go with the `with` block."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1 << 20


@contextmanager
def host(folder: Path) -> Iterator[Path]:
    yield folder


@contextmanager
def xfs(folder: Path, size: int = 512 * MIB) -> Iterator[Path]:
    with _loop(folder, size, ["mkfs.xfs", "-q", "-m", "reflink=1"]) as mounted:
        yield mounted


@contextmanager
def ext4(folder: Path, size: int = 64 * MIB) -> Iterator[Path]:
    with _loop(folder, size, ["mkfs.ext4", "-q", "-m", "0", "-F"]) as mounted:
        yield mounted


@contextmanager
def btrfs(folder: Path, size: int = 512 * MIB) -> Iterator[Path]:
    with _loop(folder, size, ["mkfs.btrfs", "-q", "-m", "single"]) as mounted:
        yield mounted


@contextmanager
def _loop(folder: Path, size: int, mkfs: list[str]) -> Iterator[Path]:
    image, mounted = folder / "image", folder / "mounted"
    with image.open("wb") as file:
        os.truncate(file.fileno(), size)
    subprocess.run([*mkfs, image], check=True)
    mounted.mkdir()
    subprocess.run(["mount", "-o", "loop", image, mounted], check=True)  # the loop device goes with the mount
    try:
        yield mounted
    finally:
        subprocess.run(["umount", mounted], check=True)
        image.unlink()
