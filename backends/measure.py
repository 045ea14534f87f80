"""Bytes on disk."""

import errno
import os

from treesmith.linux.file import reflink


def on_disk(paths: list[str]) -> int:
    """What everything in these directories takes, each hard-linked file once, what vanishes meanwhile not."""
    total, seen, waiting = 0, set(), list(paths)
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
                        if status.st_ino in seen:
                            continue
                        seen.add(status.st_ino)
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
