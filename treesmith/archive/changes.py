"""A layer of an OCI image onto the root that it changes (OCI Image Layer Filesystem Changeset, "Applying changesets").

A whiteout hides what the layers below have, never an entry of its own layer, whichever of them comes first. So what is
removed is what the layer itself has not made. Through an overlay's view the kernel writes down what that means there.
"""

import os
import stat
import tarfile
from typing import BinaryIO, Protocol, cast

from treesmith.archive.layer import Layer, Meta, is_kept
from treesmith.archive.unpack import BROKEN, Member, lay, safe
from treesmith.errors import Error

_MARK = ".wh."
_OPAQUE = ".wh..wh..opq"
_AUFS = ".wh..wh."  # aufs's own book-keeping, which old images hold
_BUFFER = 1 << 18
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Allowance:
    """How much an image may hold: bytes of files, and entries. Against archives that unpack to more than any disk."""

    def __init__(self, size: int, entries: int) -> None:
        self._size, self._entries = size, entries

    def take(self, size: int) -> None:
        """Another entry, with so many bytes. Error: there is no more."""
        self._size -= size
        self._entries -= 1
        if self._size < 0:
            raise Error("the image unpacks to more than it may", hint="raise size in the step, if it is meant to")
        if self._entries < 0:
            raise Error("the image holds more entries than any tree")


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def apply(archive: Readable, root: int, allowance: Allowance) -> int:
    """Read the tar stream `archive` to its end, and make the root whose descriptor is `root` what it says.

    Returns how many entries were made. Error: not a tar archive, cut off, or a member that is refused.
    """
    count = 0
    stream = cast(BinaryIO, archive)
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_BUFFER, tarinfo=Member) as tar, _Changes(root) as layer:
            while member := tar.next():
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all; typeshed has none
                if member.size < 0:
                    raise tarfile.ReadError(f"{member.name!r} has {member.size} bytes")
                allowance.take(member.size if member.isreg() else 0)
                count += _one(layer, tar, member)
            while archive.read(_BUFFER):
                pass
    except BROKEN as error:
        raise Error("a layer is not a tar archive, or a broken one", str(error)) from error
    return count


def _one(layer: "_Changes", tar: tarfile.TarFile, member: tarfile.TarInfo) -> int:
    path = safe(member.name)
    folder, name = os.path.split(path)
    if any(part.startswith(_AUFS) for part in folder.split("/")):
        return 0
    if f"/{_MARK}" in f"/{folder}":
        raise Error(f"{member.name!r} lies below a whiteout")
    if not name.startswith(_MARK):
        return lay(layer, tar, member, path, safe(member.linkname) if member.islnk() else "")
    if name == _OPAQUE:
        layer.hide_content(folder)
    elif not name.startswith(_AUFS):
        hidden = name.removeprefix(_MARK)
        if hidden in ("", ".", ".."):
            raise Error(f"{member.name!r} hides nothing that can have a name")
        layer.hide(f"{folder}/{hidden}")
    return 0


class _Changes(Layer):
    """A Layer that knows what it has made, by real paths: whiteouts may come by a link."""

    def __init__(self, root: int) -> None:
        super().__init__(root)
        self._top = os.readlink(f"/proc/self/fd/{root}").rstrip("/")
        self._made: dict[str, dict[str, bool]] = {}  # folder -> name -> whether it is an entry, or on the way to one
        self._here: str | None = None  # real path of the folder used last

    def hide(self, path: str) -> None:
        """What the layers below have at `path`."""
        self._where(path, self._hide)

    def hide_content(self, path: str) -> None:
        """What the layers below have in the folder `path`. A link has no content."""
        self._where(path, self._hide_content)

    def _serves(self, path: str, name: str, parent: int) -> bool:
        """A link to a folder is replaced."""
        try:
            os.close(os.open(name, os.O_PATH | _FOLDER, dir_fd=parent))
        except OSError:
            return False
        return True

    def _place(self, path: str) -> tuple[str, int]:
        name, parent = super()._place(path)
        if self._here is None:
            self._here = self._real(parent)
            self._note_way(self._here)
        self._made.setdefault(self._here, {})[name] = True
        return name, parent

    def _forget(self) -> None:
        super()._forget()
        self._here = None

    def _note_way(self, folder: str) -> None:
        while folder:
            folder, _, name = folder.rpartition("/")
            names = self._made.setdefault(folder, {})
            if name in names:
                return
            names[name] = False

    def _real(self, fd: int) -> str:
        """The path of a folder in the root, "" or beginning with /, all links resolved: proc(5), /proc/pid/fd."""
        return os.readlink(f"/proc/self/fd/{fd}").rstrip("/").removeprefix(self._top)

    def _hide(self, parent: int, name: str) -> None:
        made = self._made.get(self._real(parent), {}).get(name)
        if made is None:
            self._clear(parent, name)
        else:
            self._hide_content(parent, name, bare=not made)

    def _hide_content(self, parent: int, name: str, bare: bool = False) -> None:
        """bare: the folder, which only entries below it need, also loses what it was like."""
        try:
            fd = os.open(name, _FOLDER, dir_fd=parent)
        except OSError:
            return
        try:
            hidden = os.listdir(fd)
            for child in hidden:
                self._hide(fd, child)
            if bare:
                self._dress(fd, Meta())
            if hidden and name != "." and not os.listdir(fd):
                self._renew(parent, name, fd)
        finally:
            os.close(fd)

    def _renew(self, parent: int, name: str, old: int) -> None:
        """The emptied folder `old` made anew: to an overlay that is one opaque mark, and no whiteout for each name."""
        status = os.fstat(old)
        xattrs = tuple((xattr, os.getxattr(old, xattr)) for xattr in os.listxattr(old) if is_kept(xattr))
        os.rmdir(name, dir_fd=parent)
        os.mkdir(name, 0o700, dir_fd=parent)
        new = os.open(name, _FOLDER, dir_fd=parent)
        try:
            self._dress(new, Meta(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, None, xattrs))
        finally:
            os.close(new)
