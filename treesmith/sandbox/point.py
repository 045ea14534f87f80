"""Places below a root to mount at, wherever the root's links point: everything is resolved with the root as "/".

What is missing there is made, and is to be gone from the root when the sandbox is: the child tells its parent what it
made, and that one, when nothing inside lives any more, removes what is still empty.
"""

import errno
import os

from treesmith.errors import Error
from treesmith.linux.file import open_inside
from treesmith.linux.mount import move_mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Made:
    """Files and folders that were made to mount at: each with the folder that it is in, and its inode."""

    __slots__ = ("_all",)

    def __init__(self) -> None:
        self._all: list[tuple[int, str, int]] = []

    def file(self, folder: int, name: str) -> None:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder))
        self._add(folder, name)

    def folder(self, folder: int, name: str) -> None:
        os.mkdir(name, 0o755, dir_fd=folder)
        self._add(folder, name)

    def _add(self, folder: int, name: str) -> None:
        self._all.append((os.dup(folder), name, os.lstat(name, dir_fd=folder).st_ino))

    def packets(self) -> "Iterable[tuple[bytes, list[int]]]":
        """What `take` takes in another process, with the descriptors that go along: at most AT_ONCE of them."""
        for start in range(0, len(self._all), AT_ONCE):
            part = self._all[start : start + AT_ONCE]
            yield b"\0".join(b"%d/%s" % (inode, os.fsencode(name)) for _, name, inode in part), [one[0] for one in part]

    def take(self, said: bytes, folders: "list[int]") -> None:
        for word, folder in zip(said.split(b"\0"), folders, strict=True):
            inode, _, name = word.partition(b"/")
            self._all.append((folder, os.fsdecode(name), int(inode)))

    def remove(self) -> None:
        """What is still as it was made: the last first, as a folder may be in another. Again is harmless."""
        while self._all:
            folder, name, inode = self._all.pop()
            try:
                status = os.lstat(name, dir_fd=folder)
                if status.st_ino == inode and status.st_mode & 0o170000 == 0o040000:
                    os.rmdir(name, dir_fd=folder)
                elif status.st_ino == inode and status.st_mode & 0o170000 == 0o100000 and not status.st_size:
                    os.unlink(name, dir_fd=folder)
            except OSError:
                pass  # the root uses it now
            finally:
                os.close(folder)


AT_ONCE = 100  # descriptors in a packet: unix(7) allows 253


def attach(mount: int, root: int, path: str, directory: bool, made: Made) -> None:
    """Move `mount` onto `path` inside `root`. What is missing there is `made`."""
    try:
        point = _open(root, path, directory, made)
    except OSError as error:
        raise Error(f"nothing can be mounted at {path} of the tree", f"{error.filename}: {error.strerror}") from error
    try:
        move_mount(mount, point)
    except OSError as error:
        kind = "folder" if directory else "file"
        raise Error(f"{path} of the tree is not a {kind}", error.strerror or "", "mount at another path") from error
    finally:
        os.close(point)


def _open(root: int, path: str, directory: bool, made: Made) -> int:
    try:
        return open_inside(root, path, os.O_PATH)
    except FileNotFoundError:
        pass
    folder, name = os.path.split(path.rstrip("/"))
    if not name:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    parent = _open(root, folder or ".", True, made)
    try:
        if directory:
            made.folder(parent, name)
        else:
            made.file(parent, name)
    except FileExistsError:
        pass  # a link to nowhere, as a stopped systemd-resolved leaves one: a file can be mounted on the link itself
    finally:
        os.close(parent)
    return open_inside(root, path, os.O_PATH | os.O_NOFOLLOW)
