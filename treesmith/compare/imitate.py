"""Making one root like another, by changing as little of it as possible: what is alike stays shared with its forks."""

import errno
import os
import stat
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from treesmith.compare.walk import Entry, walk
from treesmith.linux.file import BENEATH, NO_MAGICLINKS, NO_SYMLINKS, open_inside, reflink

_NODES = {
    "fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK, "character device": stat.S_IFCHR, "block device": stat.S_IFBLK,
}  # fmt: skip
_CHUNK = 1 << 30


def imitate(source: int, target: int, content: bool = False) -> None:
    """Make everything below the directory `target` as it is below `source`. Nobody else writes to either.

    content: read the files; otherwise those of the same size, times and owners count as alike. Hard links are made
    anew together, for there are filesystems that split them when one is written to.
    """
    wanted = {entry.path: entry for entry in walk(source, content)}
    there = {entry.path: entry for entry in walk(target, content)}
    groups, old_groups = _groups(wanted.values()), _groups(there.values())

    def stays(path: str) -> bool:
        """Is what is at `path` the right thing, but perhaps for mode, owners and xattrs?"""
        if path not in wanted or wanted[path].type != there[path].type:
            return False
        if there[path].type == "directory":
            return True
        same = groups[path] == old_groups[path]
        return same and all(_body(wanted[each]) == _body(there[each]) for each in groups[path])

    kept = {path for path in there if stays(path)}
    changed = set()  # directories whose times are no longer what they were
    with _Folders(source) as reading, _Folders(target) as writing:
        for path in reversed(there):
            if path not in kept:
                folder, name = writing.above(path)
                (os.rmdir if there[path].type == "directory" else os.unlink)(name, dir_fd=folder)
                changed.add(os.path.dirname(path))
        for path, entry in wanted.items():
            if path not in kept:
                _make(entry, reading, writing)
                changed.add(os.path.dirname(path))
            if entry.type != "directory" and not entry.links and (path not in kept or entry != there[path]):
                _dress(*writing.above(path), entry)
        for path, entry in reversed(wanted.items()):
            # Last, and the deepest first: whatever is made in a directory changes its times.
            if entry.type == "directory" and (path in changed or path not in kept or entry != there[path]):
                _dress(*writing.above(path), entry)


def _groups(entries: Iterable[Entry]) -> dict[str, list[str]]:
    """path -> all paths of the same file, of everything but directories."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        if entry.type != "directory":
            found[entry.path] = found[entry.links] if entry.links else []
            found[entry.path].append(entry.path)
    return found


def _body(entry: Entry) -> tuple[object, ...]:
    return entry.type, entry.size, entry.mtime, entry.target, entry.device, entry.digest


class _Folders:
    """The directories that paths lie in, of a root in which no link is followed. The last one stays open."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._path = ""
        self._open = -1

    def above(self, path: str) -> tuple[int, str]:
        """(directory, name) for the calls that take `dir_fd`; the directory is open until the next call."""
        folder, _, name = path.rpartition("/")
        if self._open < 0 or folder != self._path:
            self.close()
            flags = os.O_PATH | os.O_DIRECTORY
            resolve = BENEATH | NO_SYMLINKS | NO_MAGICLINKS
            self._open = open_inside(self._root, folder or ".", flags, resolve=resolve)
            self._path = folder
        return self._open, name or "."

    def close(self) -> None:
        if self._open >= 0:
            os.close(self._open)
            self._open = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _make(entry: Entry, reading: _Folders, writing: _Folders) -> None:
    if entry.links:
        above, first = writing.above(entry.links)
        above = os.dup(above)
        try:
            folder, name = writing.above(entry.path)
            os.link(first, name, src_dir_fd=above, dst_dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(above)
        return
    folder, name = writing.above(entry.path)
    if entry.type == "directory":
        os.mkdir(name, 0o700, dir_fd=folder)
    elif entry.type == "link":
        os.symlink(entry.target, name, dir_fd=folder)
    elif entry.type in _NODES:
        os.mknod(name, _NODES[entry.type] | 0o600, os.makedev(*entry.device), dir_fd=folder)
    else:
        above, original = reading.above(entry.path)
        old = os.open(original, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=above)
        try:
            new = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
            try:
                _fill(old, new, entry.size)
            finally:
                os.close(new)
        finally:
            os.close(old)


def _fill(old: int, new: int, size: int) -> None:
    """By reference where that can be, else with its holes: lseek(2)."""
    try:
        reflink(old, new)
        return
    except OSError:
        pass  # ENOSPC too: the copy below tells
    end = 0
    while end < size:
        try:
            begin = os.lseek(old, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # only a hole is left
        end = os.lseek(old, begin, os.SEEK_HOLE)
        os.lseek(new, begin, os.SEEK_SET)
        while begin < end:
            count = os.sendfile(new, old, begin, min(end - begin, _CHUNK))
            if not count:
                raise OSError(errno.EIO, "a file became shorter while it was copied")
            begin += count
    os.ftruncate(new, size)


def _dress(folder: int, name: str, entry: Entry) -> None:
    """Owners, mode, xattrs, times, in the order in which none undoes another: chown(2) clears capabilities, an ACL
    that was inherited shapes the mode."""
    path = f"/proc/self/fd/{folder}/{name}"
    os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
    there = _xattrs(path)
    for each in there - entry.xattrs.keys():
        os.removexattr(path, each, follow_symlinks=False)
    if entry.type != "link":
        os.chmod(path, entry.mode)
    for each, value in entry.xattrs.items():
        if each not in there or os.getxattr(path, each, follow_symlinks=False) != value:
            os.setxattr(path, each, value, follow_symlinks=False)
    os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=folder, follow_symlinks=False)


def _xattrs(path: str) -> set[str]:
    try:
        return set(os.listxattr(path, follow_symlinks=False))
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return set()
