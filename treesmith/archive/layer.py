"""Laying entries down in a root that is not trusted, wherever its links point and whatever stands in the way.

Every folder on the way is opened with the root as "/" (openat2(2), RESOLVE_IN_ROOT), the entry itself is made new
beside what it replaces: nothing is ever followed, written through or changed outside the root. Per entry: create,
owner, mode, extended attributes, times, in this order, as a change of owner clears setuid and capabilities.
"""

import io
import os
import stat
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from treesmith.errors import Error
from treesmith.linux.file import IN_ROOT, NO_MAGICLINKS, open_inside

_BLOCK = 1 << 18
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Meta(NamedTuple):
    """What an entry is like. `time` in ns, None: now."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    time: int | None = None
    xattrs: tuple[tuple[str, bytes], ...] = ()


class Layer:
    """Entries for the root whose descriptor is given. Paths are relative to it; a leading / changes nothing.

    Missing folders on the way are made, 0755 and root's. A with-block: the times of folders are set at its end.
    Error: an entry cannot be made, with the reason.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._near: tuple[str, int] = ("", -1)  # the folder used last: entries come folder by folder
        self._times: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                for path, time in sorted(self._times.items(), reverse=True):
                    self._set_time(path, time)
        finally:
            self._forget()

    def is_folder(self, path: str) -> bool:
        """Whether `path` is a folder in the root, or a link to one there."""
        try:
            os.close(open_inside(self._root, path.lstrip("/") or ".", os.O_PATH | os.O_DIRECTORY))
        except OSError:
            return False
        return True

    def folder(self, path: str, meta: Meta) -> None:
        """A folder. One that is there, or a link to one, stays and becomes as `meta` says; else it is replaced."""
        with telling(path):
            name, parent = self._place(path)
            if name != "." and not self._serves(path, name, parent):
                self._clear(parent, name)
                os.mkdir(name, 0o700, dir_fd=parent)
            fd = open_inside(self._root, below(path), _FOLDER)
            try:
                self._dress(fd, meta._replace(time=None))
            finally:
                os.close(fd)
            if meta.time is not None:
                self._times[below(path)] = meta.time

    def file(self, path: str, data: BinaryIO, meta: Meta, size: int | None = None) -> None:
        """A regular file. `size`: what `data` must come to, else it is an Error; runs of zeros become holes."""
        with telling(path):
            name, parent = self._place(path)
            self._clear(parent, name)
            fd = os.open(
                name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent
            )
            try:
                length = _pour(data, fd)
                if size is not None and length != size:
                    raise Error(f"{path}: {length} bytes instead of {size}")
                self._dress(fd, meta)
            finally:
                os.close(fd)

    def text(self, path: str, content: str, meta: Meta = Meta(0o644)) -> None:  # a tuple
        self.file(path, io.BytesIO(content.encode()), meta)

    def link(self, path: str, target: str, meta: Meta) -> None:
        """A symbolic link; `target` is the tree's own affair and may point anywhere."""
        with telling(path):
            name, parent = self._place(path)
            self._clear(parent, name)
            os.symlink(target, name, dir_fd=parent)
            os.chown(name, meta.uid, meta.gid, dir_fd=parent, follow_symlinks=False)
            if meta.time is not None:
                os.utime(name, ns=(meta.time, meta.time), dir_fd=parent, follow_symlinks=False)

    def hard_link(self, path: str, target: str) -> None:
        """Another name for `target`, which must be in the root already and be no folder."""
        with telling(path):
            folder, source = os.path.split(below(target))
            beside = open_inside(self._root, folder or ".", os.O_PATH | os.O_DIRECTORY)
            try:
                name, parent = self._place(path)
                status = os.stat(source, dir_fd=beside, follow_symlinks=False)
                if self._is(parent, name, status):
                    return
                if stat.S_ISDIR(status.st_mode):
                    raise Error(f"{path}: {target} is a folder and cannot get another name")
                self._clear(parent, name)
                os.link(source, name, src_dir_fd=beside, dst_dir_fd=parent, follow_symlinks=False)
            finally:
                os.close(beside)

    def fifo(self, path: str, meta: Meta) -> None:
        with telling(path):
            name, parent = self._place(path)
            self._clear(parent, name)
            os.mkfifo(name, 0o600, dir_fd=parent)
            fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                self._dress(fd, meta)
            finally:
                os.close(fd)

    def remove(self, path: str) -> None:
        """Whatever is at `path`, with all below it; nothing there is as good."""
        self._where(path, self._clear)

    def _where(self, path: str, action: Callable[[int, str], None]) -> None:
        """`action` with the folder that `path` lies in and its last part; nothing without such a folder."""
        self._forget()
        with telling(path or "/"):
            folder, name = os.path.split(below(path))
            try:
                parent = open_inside(self._root, folder or ".", os.O_PATH | os.O_DIRECTORY)
            except (FileNotFoundError, NotADirectoryError):
                return
            try:
                action(parent, name)
            finally:
                os.close(parent)

    def _place(self, path: str) -> tuple[str, int]:
        """The last part of `path`, and the folder it goes into, which is made if it is missing."""
        folder, name = os.path.split(below(path))
        folder = folder or "."
        if self._near[0] != folder:
            self._forget()
            self._near = (folder, self._open(folder))
        return name, self._near[1]

    def _open(self, folder: str) -> int:
        flags = os.O_PATH | os.O_DIRECTORY
        try:
            return open_inside(self._root, folder, flags)
        except FileNotFoundError:
            above, name = os.path.split(folder)
            parent = self._open(above or ".")
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
            fd = open_inside(parent, name, _FOLDER, resolve=IN_ROOT | NO_MAGICLINKS)
            os.fchmod(fd, 0o755)  # whatever the umask is
            return fd
        finally:
            os.close(parent)

    def _forget(self) -> None:
        if self._near[1] >= 0:
            os.close(self._near[1])
        self._near = ("", -1)

    def _serves(self, path: str, name: str, parent: int) -> bool:
        """Whether what is at `path`, `name` in `parent`, will do for a folder."""
        return self.is_folder(path)

    def _clear(self, parent: int, name: str) -> None:
        """Make room for an entry."""
        if name == ".":
            raise Error("the root itself cannot be replaced")
        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            _remove_folder(parent, name)

    def _is(self, parent: int, name: str, wanted: os.stat_result) -> bool:
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)

    def _dress(self, fd: int, meta: Meta) -> None:
        os.fchown(fd, meta.uid, meta.gid)
        os.fchmod(fd, meta.mode)
        for name in os.listxattr(fd):  # a folder that was there has its own, a new file its folder's default ACL
            if is_kept(name) and not any(name == own for own, _ in meta.xattrs):
                os.removexattr(fd, name)
        for name, value in meta.xattrs:
            os.setxattr(fd, name, value)
        if meta.time is not None:
            os.utime(fd, ns=(meta.time, meta.time))

    def _set_time(self, path: str, time: int) -> None:
        try:
            fd = open_inside(self._root, path, _FOLDER)
        except OSError:
            return  # replaced by a later entry
        try:
            os.utime(fd, ns=(time, time))
        finally:
            os.close(fd)


class telling:
    """Turns an OSError into an Error that names the entry."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            raise Error(f"{self._path} cannot be made in the tree", error.strerror or str(error)) from error


def is_kept(xattr: str) -> bool:
    """Whether a tree has this extended attribute: not one that means something to the host or to an overlay."""
    kept = xattr == "security.capability" or xattr.startswith(("user.", "system.posix_acl_"))
    return kept and ".overlay." not in xattr


def below(path: str) -> str:
    """`path` without leading and trailing slashes and empty or "." parts; "." for the root itself."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Error(f"{path}: no entry's path may hold ..")
    return "/".join(parts) or "."


def _pour(data: BinaryIO, fd: int) -> int:
    """All of `data` into `fd`; its length."""
    length = 0
    while block := data.read(_BLOCK):
        if block.count(0) == len(block):
            os.lseek(fd, len(block), os.SEEK_CUR)
        else:
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(fd, rest) :]
        length += len(block)
    os.ftruncate(fd, length)
    return length


def _remove_folder(parent: int, name: str) -> None:
    """A folder and all below it; links are removed, never followed (openat O_NOFOLLOW)."""
    fd = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    try:
        for entry in list(os.scandir(fd)):
            if entry.is_dir(follow_symlinks=False):
                _remove_folder(fd, entry.name)
            else:
                os.unlink(entry.name, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)
