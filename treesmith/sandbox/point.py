"""Places below a root to mount at, wherever the root's links point: everything is resolved with the root as "/".

What is missing there is made, and is to be gone from the root when the sandbox is: the child tells its parent what it
made, and that one, when nothing inside lives any more, removes what is still empty. Where the root outlives them both,
the child asks before it makes something, and the parent notes it in a file; if he is killed, whoever has the root next
does it for him (`clear`). The file: "INODE PATH\0" of each. What is said last counts; 0: it may not have been made yet.
"""

import errno
import os

from treesmith.errors import Error
from treesmith.linux.file import open_inside
from treesmith.linux.mount import move_mount, open_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Made:
    """Files and folders that were made to mount at: each with the folder that it is in, its path, and its inode."""

    __slots__ = ("_all", "_ask", "_asked", "notes")

    def __init__(self, ask: "Callable[[str], None]" = lambda path: None) -> None:
        """ask: in the child, called with a path before something is made there."""
        self._all: list[tuple[int, str, int]] = []
        self._ask = ask
        self._asked: set[str] = set()  # what the child has not yet said that it made
        self.notes = ""  # in the parent: the file that says what is there; "": none does

    def make(self, folder: int, path: str, directory: bool) -> None:
        """`folder`: where it is to be."""
        self._ask(path)
        name = _name(path)
        if directory:
            os.mkdir(name, 0o755, dir_fd=folder)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder))
        # A mount of its own, which stays writable when the root's is made read-only.
        self._all.append((open_tree("", folder), path, os.lstat(name, dir_fd=folder).st_ino))

    def packets(self) -> "Iterable[tuple[bytes, list[int]]]":
        """What `take` takes in another process, with the descriptors that go along: at most AT_ONCE of them."""
        for start in range(0, len(self._all), AT_ONCE):
            part = self._all[start : start + AT_ONCE]
            yield _encoded((path, inode) for _, path, inode in part), [one[0] for one in part]

    def take(self, said: bytes, folders: "list[int]") -> None:
        points = _decoded(said)
        self._all += [(folder, path, inode) for folder, (path, inode) in zip(folders, points, strict=True)]
        self._note(points)
        self._asked.clear()

    def expect(self, path: str) -> None:
        """The child is about to make it."""
        self._note([(path, 0)])
        self._asked.add(path)

    def _note(self, points: "Iterable[tuple[str, int]]") -> None:
        if self.notes:
            file = os.open(self.notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.write(file, _encoded(points))
            finally:
                os.close(file)

    def remove(self) -> None:
        """What is still as it was made: the last first, as a folder may be in another. Again is harmless. The notes
        stay where the child was killed before it could say what it made: they are for `clear`."""
        while self._all:
            folder, path, inode = self._all.pop()
            _remove(folder, _name(path), inode)
            os.close(folder)
        if self.notes and not self._asked:
            _forget(self.notes)
            self.notes = ""


def clear(root: int, notes: str) -> None:
    """What was made in `root`, and noted in the file `notes` by one who could not remove it any more. Again is
    harmless."""
    try:
        with open(notes, "rb") as file:
            points = dict(_decoded(file.read()))
    except FileNotFoundError:
        return
    for path, inode in reversed(points.items()):
        try:
            folder = open_inside(root, os.path.dirname(path.rstrip("/")) or "/", os.O_PATH | os.O_DIRECTORY)
        except OSError:
            continue  # it has gone with what it was in
        _remove(folder, _name(path), inode)
        os.close(folder)
    _forget(notes)


def pass_on(notes: str, copied: str) -> None:
    """From a root to a copy of it, made while something ran there: `copied` is the file for that one's `clear`."""
    try:
        with open(notes, "rb") as file:
            points = dict(_decoded(file.read()))
    except FileNotFoundError:
        return
    with open(copied, "wb") as file:
        file.write(_encoded((path, 0) for path in points))  # its inodes are others


def _remove(folder: int, name: str, inode: int) -> None:
    try:
        status = os.lstat(name, dir_fd=folder)
        if inode not in (0, status.st_ino):
            return
        if status.st_mode & 0o170000 == 0o040000:
            os.rmdir(name, dir_fd=folder)
        elif status.st_mode & 0o170000 == 0o100000 and not status.st_size:
            os.unlink(name, dir_fd=folder)
    except OSError:
        pass  # the root uses it now


def _forget(notes: str) -> None:
    try:
        os.unlink(notes)
    except FileNotFoundError:
        pass


def _name(path: str) -> str:
    return os.path.basename(path.rstrip("/"))


def _encoded(points: "Iterable[tuple[str, int]]") -> bytes:
    return b"".join(b"%d %s\0" % (inode, os.fsencode(path)) for path, inode in points)


def _decoded(said: bytes) -> "list[tuple[str, int]]":
    """What was cut off is left out."""
    words = [word.partition(b" ") for word in said.split(b"\0")[:-1]]
    return [(os.fsdecode(path), int(inode)) for inode, _, path in words if inode.isdigit() and path]


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
        # Else a link to nowhere, as a stopped systemd-resolved leaves one: a file can be mounted on the link itself.
        if not _is_there(parent, name):
            made.make(parent, path, directory)
    finally:
        os.close(parent)
    return open_inside(root, path, os.O_PATH | os.O_NOFOLLOW)


def _is_there(folder: int, name: str) -> bool:
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True
