"""Bytes on disk."""

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


def shares_data(folder: str) -> bool:
    """Can two files have the same blocks here? Then st_blocks does not say what removing one gives back."""
    source = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    try:
        target = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
        try:
            reflink(source, target)
        except OSError:
            return False
        finally:
            os.close(target)
    finally:
        os.close(source)
    return True
