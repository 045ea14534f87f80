"""Mount points that a sandbox makes in a tree for what a step is lent: they must not stay there."""

import os
from collections.abc import Iterable, Iterator

from treesmith.linux.file import open_inside


class Points:
    """What was not there before a program ran, and is an empty file or folder afterwards."""

    def __init__(self, root: int, paths: Iterable[str]) -> None:
        """root: the tree, before. paths: where something will be mounted."""
        self._missing = {above for path in paths for above in _upwards(path) if not _is_there(root, above)}

    def clear(self, root: int) -> None:
        """root: the tree, afterwards."""
        for path in sorted(self._missing, key=len, reverse=True):
            folder, name = os.path.split(path)
            try:
                parent = open_inside(root, folder, os.O_PATH | os.O_DIRECTORY)
            except OSError:
                continue
            try:
                _remove_empty(parent, name)
            finally:
                os.close(parent)


def _upwards(path: str) -> Iterator[str]:
    while path.strip("/"):
        yield path
        path = os.path.dirname(path)


def _is_there(root: int, path: str) -> bool:
    try:
        os.close(open_inside(root, path, os.O_PATH | os.O_NOFOLLOW))
    except OSError:
        return False
    return True


def _remove_empty(parent: int, name: str) -> None:
    try:
        status = os.lstat(name, dir_fd=parent)
        if status.st_mode & 0o170000 == 0o040000:
            os.rmdir(name, dir_fd=parent)
        elif status.st_mode & 0o170000 == 0o100000 and not status.st_size:
            os.unlink(name, dir_fd=parent)
    except OSError:
        pass  # the tree uses it now, or it was never made
