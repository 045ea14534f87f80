"""Bytes on disk."""

import errno
import os

from treesmith.backends.values import Usage
from treesmith.errors import Error
from treesmith.linux.extents import extents
from treesmith.linux.file import reflink
from treesmith.run import output


def on_disk(paths: list[str]) -> int:
    """What comes back with these directories: a file that has names elsewhere too does not. What vanishes meanwhile
    does not count."""
    total, waiting = 0, list(paths)
    names: dict[int, int] = {}
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif status.st_nlink > 1:
                        names[status.st_ino] = names.get(status.st_ino, 0) + 1
                        if names[status.st_ino] < status.st_nlink:
                            continue
                    total += status.st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def shares_data(path: str) -> bool:
    """May two files of this file's filesystem have the same blocks? Then st_blocks does not say what comes back.

    A file is asked to share with itself, which changes nothing and needs no room on a full disk: ioctl_ficlone(2).
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            reflink(file, file)
        finally:
            os.close(file)
    except OSError as error:
        return error.errno not in (errno.EOPNOTSUPP, errno.ENOTTY)
    return True


def subvolume(path: str) -> Usage:
    """What a btrfs subvolume and those in it take, by btrfs-filesystem-du(8): nobody else knows whose an extent is.
    Files so small that they lie in the metadata are not in it."""
    try:
        said = output(("btrfs", "filesystem", "du", "-s", "--raw", "--", path))
        total, exclusive, shared = said.splitlines()[1].split(None, 3)[:3]
        return Usage(int(exclusive), int(shared), int(total))
    except (Error, ValueError, IndexError):
        return Usage(None, None, None)


def written(path: str, since: int) -> "int | None":
    """The bytes of the extents that files of a btrfs subvolume have got since the transaction `since`, by
    btrfs-subvolume(8)'s find-new, which looks at what has changed alone; and not into subvolumes inside."""
    try:
        said = output(("btrfs", "subvolume", "find-new", "--", path, str(since)))
    except Error:
        return None
    words = [line.split() for line in said.splitlines() if line.startswith("inode ")]
    return sum(int(line[line.index("len") + 1]) for line in words)


def sharing(root: str) -> Usage:
    """What a directory takes where files may have the same blocks: those that nobody else has are its own. Data that
    two files of its own have in common count as shared, and what vanishes meanwhile does not count."""
    alone = shared = 0
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                found = list(entries)
        except FileNotFoundError:
            continue
        for entry in found:
            try:
                status = entry.stat(follow_symlinks=False)
                if status.st_ino in seen:
                    continue
                if status.st_nlink > 1:
                    seen.add(status.st_ino)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                if not entry.is_file(follow_symlinks=False):
                    alone += status.st_blocks * 512
                    continue
                file = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                sizes = extents(file)
            finally:
                os.close(file)
            if sizes is None:
                return Usage(None, None, None)
            alone, shared = alone + sizes[0], shared + sizes[1]
    return Usage(alone, shared, alone + shared)
