"""One overlay layer in the place of several (overlayfs.rst, "whiteouts and opaque directories").

Files are linked, not copied: lower layers never change, so the new layer may have the same inodes, with all that they
have, and is made in the time of a walk. What a whiteout or an opaque directory hides stays away; the mark itself is
kept where a layer further below still has what it must hide, and nowhere else: overlayfs lists marks that hide nothing.
"""

import errno
import os
import stat

from treesmith.backends.folders import imitate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_OPAQUE = "user.overlay.opaque"


class Entry:
    """path: in the layer, "" for its root. source: absolute. opaque: a directory that must hide what is below it."""

    __slots__ = ("is_folder", "opaque", "path", "source", "status")

    def __init__(self, path: str, source: str, status: os.stat_result, opaque: bool = False) -> None:
        self.path = path
        self.source = source
        self.status = status
        self.is_folder = stat.S_ISDIR(status.st_mode)
        self.opaque = opaque


def entries(run: "list[str]", below: "list[str]") -> "Iterator[Entry]":
    """What a layer holds that stands for those whose roots are the directories `run`, above those of `below`; topmost
    first. A directory comes before what is in it."""
    waiting = [Entry("", run[0], os.lstat(run[0]))]
    stacks = {"": (run, below)}
    while waiting:
        folder = waiting.pop()
        yield folder
        folders, under = stacks.pop(folder.path)
        seen: set[str] = set()
        for number, top in enumerate(folders):
            for name in os.listdir(top):
                if name in seen:
                    continue
                seen.add(name)
                status, path = os.lstat(f"{top}/{name}"), f"{folder.path}/{name}" if folder.path else name
                if stat.S_ISDIR(status.st_mode):
                    inside, ends = _stack(folders[number:], name)
                    entry = Entry(path, inside[0], status, ends and _shows(under, name))
                    stacks[path] = (inside, [] if ends else _stack(under, name)[0])
                    waiting.append(entry)
                elif not _is_whiteout(status) or _shows(under, name):
                    yield Entry(path, f"{top}/{name}", status)


def merge(run: "list[str]", below: "list[str]", target: str) -> None:
    """Make the directory `target` such a layer. Nothing is durable on return."""
    folders = []
    for entry in entries(run, below):
        path = f"{target}/{entry.path}" if entry.path else target
        if entry.is_folder:
            os.mkdir(path, 0o700)
            folders.append((path, entry))
        else:
            _link(entry.source, path)
            if not below and stat.S_ISREG(entry.status.st_mode):
                _unmark(path)  # the lowest layer may be looked at without overlayfs
    for path, entry in reversed(folders):  # what is put into a directory changes its times
        if entry.opaque:
            os.setxattr(path, _OPAQUE, b"y")
        imitate(path, entry.source)


def _stack(folders: "list[str]", name: str) -> "tuple[list[str], bool]":
    """The directories `name` that overlayfs makes one of in these; and whether nothing further below can be added."""
    found: list[str] = []
    for folder in folders:
        path = f"{folder}/{name}"
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(status.st_mode):
            return found, True
        found.append(path)
        if _is_opaque(path):
            return found, True
    return found, False


def _shows(folders: "list[str]", name: str) -> bool:
    """Is there anything of this name in these directories, topmost first?"""
    for folder in folders:
        try:
            return not _is_whiteout(os.lstat(f"{folder}/{name}"))
        except FileNotFoundError:
            continue
    return False


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(path: str) -> bool:
    try:
        return os.getxattr(path, _OPAQUE) == b"y"
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return False


def _link(source: str, path: str) -> None:
    try:
        os.link(source, path, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EMLINK, errno.EPERM):  # too many links; an immutable file
            raise
        from treesmith.backends.copy import copy_tree

        copy_tree(source, path)


def _unmark(path: str) -> None:
    for name in os.listxattr(path):
        if name.startswith("user.overlay."):
            os.removexattr(path, name)
