"""Subvolumes as a whole: with those inside them, and with what is mounted there."""

import errno
import os

from treesmith.linux.call import ioctl
from treesmith.linux.file import BENEATH, NO_MAGICLINKS, NO_SYMLINKS, NO_XDEV, open_inside
from treesmith.linux.mountinfo import unescaped
from treesmith.linux.remove import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_FS_INFO, _INFO_SIZE = (
    0x8400941F,
    1024,
)  # linux/btrfs.h, BTRFS_IOC_FS_INFO


def on_btrfs(path: str) -> bool:
    """Without the binding: is the directory on btrfs?"""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        ioctl(folder, _FS_INFO, bytes(bytearray(_INFO_SIZE)), what=path)
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP):
            return False
        raise
    finally:
        os.close(folder)
    return True


def inside(calls: "Any", top: str) -> "list[str]":
    """The paths, below `top`, of the subvolumes in it and in each other, outer before inner."""
    with calls.SubvolumeIterator(top) as found:
        return [path for path, _ in found]


def open_inner(top: str, path: str) -> int:
    """A descriptor of the subvolume `path` of `top`. What runs in `top` may exchange any part of the path for a link:
    nothing outside is ever opened."""
    above = os.open(top, os.O_PATH | os.O_DIRECTORY)
    try:
        return open_inside(
            above, path, os.O_RDONLY | os.O_DIRECTORY, resolve=BENEATH | NO_XDEV | NO_SYMLINKS | NO_MAGICLINKS
        )
    finally:
        os.close(above)


def delete(calls: "Any", path: str) -> None:
    """Delete a subvolume and those in it, whatever their flags. What is none, or gone, is left to others."""
    try:
        if not calls.is_subvolume(path):
            return
        for inner in ("", *inside(calls, path)):
            # In a read-only one nothing can be deleted, so no subvolume either.
            if calls.get_subvolume_read_only(f"{path}/{inner}"):
                calls.set_subvolume_read_only(f"{path}/{inner}", False)
        calls.delete_subvolume(path, recursive=True)
    except OSError as error:  # the binding's own class, whatever the errno
        if error.errno in (errno.EPERM, errno.EACCES):
            remove_tree(path)  # without root one's own can be removed when they are empty
        elif error.errno != errno.ENOENT:  # another process is deleting it too
            raise


def mounted_below(path: str) -> bool:
    """Is anything mounted at `path` or below, or is what lies there mounted elsewhere? As far as this mount namespace
    shows: containers hold their tree's lock."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        rows = [line.split(" ", 5) for line in file]
    path = os.path.realpath(path)
    mounts = [(row[2], unescaped(row[3]), unescaped(row[4])) for row in rows]
    device, root, place = max(  # the last one, of those at the same place
        (mount for mount in mounts if _within(path, mount[2])), key=lambda mount: len(mount[2])
    )
    here = root.rstrip("/") + path[len(place.rstrip("/")) :]  # as the filesystem calls it
    return any(_within(place, path) or (owner == device and _within(root, here)) for owner, root, place in mounts)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
