"""Finding out by doing: what the filesystem of a store can."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from treesmith.backends.merged import Merged
from treesmith.errors import Error
from treesmith.linux.mount import IDMAP, open_tree, set_attributes
from treesmith.linux.process import NEWUSER, unshare
from treesmith.linux.remove import remove_tree


@contextmanager
def room(store: str, clear: Callable[[str], None] = remove_tree) -> Iterator[str]:
    """A new directory in the store for the length of a probe. clear: how it goes. It has a lock, as whatever is being
    made there has: a writer beside us lets it be, and one after our death clears it."""
    while True:
        folder = f"{store}/staging/probe-{os.urandom(8).hex()}"
        lock = os.open(f"{folder}.lock", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.fstat(lock).st_nlink:
                continue  # found free before we had it
            try:
                os.mkdir(folder, 0o700)
                yield folder
            finally:
                clear(folder)
                os.unlink(f"{folder}.lock")
            return
        finally:
            os.close(lock)


def can_overlay(folder: str) -> None:
    """Error: why layers in `folder` cannot be mounted and keep what overlay needs to keep."""
    for lid in ("low", "top"):
        os.makedirs(f"{folder}/{lid}/fs/there")
        os.makedirs(f"{folder}/{lid}/work")
    for name in ("deleted", "there/hidden"):
        with open(f"{folder}/low/fs/{name}", "w"):
            pass
    os.rmdir(f"{folder}/top/fs/there")
    try:
        _write_through(folder)
        _read_back(folder)
    except OSError as error:
        raise Error(f"overlay does not work on the filesystem of {folder}", str(error)) from None


def _write_through(folder: str) -> None:
    view = Merged(folder, ["low"], "top")
    try:
        root = view.mount()
        try:
            os.unlink("deleted", dir_fd=root)
            os.unlink("there/hidden", dir_fd=root)
            os.rmdir("there", dir_fd=root)
            os.mkdir("there", dir_fd=root)
        finally:
            os.close(root)
    finally:
        view.close()


def _read_back(folder: str) -> None:
    view = Merged(folder, ["top", "low"])
    try:
        root = view.mount()
        try:
            left, inside = _names(root, "."), _names(root, "there")
        finally:
            os.close(root)
    finally:
        view.close()
    if left != ["there"] or inside:
        raise OSError(5, f"deleted files came back: {left}, {inside}")


def _names(root: int, path: str) -> list[str]:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
    try:
        return os.listdir(folder)
    finally:
        os.close(folder)


def can_idmap(folder: "str | int") -> bool:
    """Can a mount of `folder` be id-mapped? A descriptor is a detached mount, and given away."""
    reading, writing = os.pipe()
    ready, tell = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(writing)
            unshare(NEWUSER)
            os.write(tell, b"u")
            os.read(reading, 1)
        finally:
            os._exit(0)
    mount = userns = -1
    try:
        os.close(tell)
        if not os.read(ready, 1):
            return False
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{pid}/{name}", "w") as file:
                file.write("0 524288 65536")
        userns = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
        mount = folder if isinstance(folder, int) else open_tree(folder)
        set_attributes(mount, IDMAP, userns=userns)
    except OSError:
        return False
    else:
        return True
    finally:
        for fd in (reading, writing, ready, mount, userns):
            if fd >= 0:
                os.close(fd)
        os.waitpid(pid, 0)
