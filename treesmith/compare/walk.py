"""Everything in a root, by descriptors: no link in it leads out."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

_TYPES = {
    stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket", stat.S_IFCHR: "character device", stat.S_IFBLK: "block device",
}  # fmt: skip


class Entry(NamedTuple):
    """One thing in a root. `path` is relative, "" the root itself; bytes that are no UTF-8: os.fsdecode.

    links: the first path of the same file, for hard links; otherwise "". digest: a file's SHA-256, in hex.
    """

    path: str
    type: str
    mode: int  # permission bits, setuid and sticky included
    uid: int
    gid: int
    mtime: int  # ns
    size: int = 0  # of a file
    target: str = ""  # of a link
    device: tuple[int, int] = (0, 0)  # major, minor
    links: str = ""
    digest: str = ""
    xattrs: Mapping[str, bytes] = MappingProxyType({})


def walk(root: int, content: bool = True) -> Iterator[Entry]:
    """Every entry of the directory `root`, itself first, in the order of the paths' parts. `root` may be O_PATH.

    content: read the files, for their digests. Mount points are entered.
    """
    first: dict[tuple[int, int], str] = {}
    top = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
    folders = [top]
    pending = [[("", ".")]]
    try:
        while pending:
            if not pending[-1]:
                pending.pop()
                os.close(folders.pop())
                continue
            path, name = pending[-1].pop()
            folder = folders[-1]
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            yield _entry(folder, name, path, status, first, content)
            if stat.S_ISDIR(status.st_mode):
                below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                folders.append(below)
                names = sorted(os.listdir(below), reverse=True)
                pending.append([(f"{path}/{name}" if path else name, name) for name in names])
    finally:
        for folder in folders:
            os.close(folder)


def _entry(
    folder: int, name: str, path: str, status: os.stat_result, first: dict[tuple[int, int], str], content: bool
) -> Entry:
    kind = _TYPES[stat.S_IFMT(status.st_mode)]
    links = ""
    if kind != "directory" and status.st_nlink > 1:
        links = first.setdefault((status.st_dev, status.st_ino), path)
    return Entry(
        path=path,
        type=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=status.st_mtime_ns,
        size=status.st_size if kind == "file" else 0,
        target=os.readlink(name, dir_fd=folder) if kind == "link" else "",
        device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if kind.endswith("device") else (0, 0),
        links="" if links == path else links,
        digest=_digest(folder, name) if kind == "file" and content else "",
        xattrs=_xattrs(f"/proc/self/fd/{folder}/{name}"),
    )


def _digest(folder: int, name: str) -> str:
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _xattrs(path: str) -> dict[str, bytes]:
    try:
        names = sorted(os.listxattr(path, follow_symlinks=False))
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return {}
