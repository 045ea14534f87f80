"""Removing a directory and all that is in it, by descriptors and never across a mount point."""

import errno
import fcntl
import os

from treesmith.linux.file import BENEATH, NO_MAGICLINKS, NO_SYMLINKS, NO_XDEV, open_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# So many directories are open at once. What lies deeper is first moved up: a tree may be deeper than a process may
# have descriptors, or Python frames.
_DEPTH = 64
_NO_WAY_OUT = NO_XDEV | NO_SYMLINKS | NO_MAGICLINKS | BENEATH  # EXDEV at a mount, even of the same filesystem
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_GETFLAGS, _SETFLAGS, _IMMUTABLE_OR_APPEND = 0x80086601, 0x40086602, 0x30  # ioctl_iflags(2)


def remove_tree(path: str) -> None:
    """Remove the directory `path` and everything below it. One that is gone is fine.

    Several processes may remove the same one at a time. OSError: EXDEV or EBUSY where something is mounted, which
    stays then, as do the directories above it.
    """
    above, _, name = path.rstrip("/").rpartition("/")
    try:
        parent = os.open(above or ("/" if path.startswith("/") else "."), os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        top = _open(parent, name, path)
        if top < 0:
            return
        try:
            while entries := _listing(top):
                _empty(top, entries, path)
        finally:
            os.close(top)
        _remove(os.rmdir, parent, name)
    finally:
        os.close(parent)


def _empty(top: int, entries: "list[tuple[str, bool]]", path: str) -> None:
    stack = [(top, "", entries)]
    try:
        while True:
            folder, name, entries = stack[-1]
            if not entries:
                if folder == top:
                    return
                stack.pop()
                os.close(folder)
                _remove(os.rmdir, stack[-1][0], name)
                continue
            entry, is_folder = entries.pop()
            if not is_folder:
                _remove(os.unlink, folder, entry)
            elif len(stack) < _DEPTH:
                below = _open(folder, entry, path)
                if below >= 0:
                    stack.append((below, entry, _listing(below)))
            else:
                try:
                    number = os.stat(entry, dir_fd=folder, follow_symlinks=False).st_ino
                    os.rename(entry, f".treesmith-{number}", src_dir_fd=folder, dst_dir_fd=top)
                except FileNotFoundError:
                    pass
    finally:
        for folder, _, _ in stack[1:]:
            os.close(folder)


def _listing(folder: int) -> "list[tuple[str, bool]]":
    os.lseek(folder, 0, os.SEEK_SET)  # btrfs lists nothing that came after the directory was opened or rewound
    with os.scandir(folder) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


def _open(parent: int, name: str, path: str) -> int:
    """-1 if it is gone."""
    try:
        try:
            return open_inside(parent, name, _FOLDER, resolve=_NO_WAY_OUT)
        except PermissionError:
            os.chmod(name, 0o700, dir_fd=parent)  # not root, then: but an owner may always let himself in
            return open_inside(parent, name, _FOLDER, resolve=_NO_WAY_OUT)
    except FileNotFoundError:
        return -1
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise OSError(errno.EXDEV, "something is mounted there", f"{path}: {name}") from None
        raise


def _remove(call: "Callable[..., None]", folder: int, name: str) -> None:
    try:
        try:
            call(name, dir_fd=folder)
        except PermissionError:
            _unlock(folder, name)
            call(name, dir_fd=folder)
    except FileNotFoundError:
        pass


def _unlock(folder: int, name: str) -> None:
    """Let it be removed: neither it nor its directory immutable or append-only, the directory writable."""
    if os.stat(folder).st_mode & 0o300 != 0o300:
        os.chmod(folder, 0o700)
    _clear_flags(folder)
    try:
        entry = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY, dir_fd=folder)
    except OSError:
        return  # a link or a socket, which has no flags
    try:
        _clear_flags(entry)
    finally:
        os.close(entry)


def _clear_flags(fd: int) -> None:
    try:
        flags = int.from_bytes(fcntl.ioctl(fd, _GETFLAGS, bytes(8))[:4], "little")
        if flags & _IMMUTABLE_OR_APPEND:
            fcntl.ioctl(fd, _SETFLAGS, (flags & ~_IMMUTABLE_OR_APPEND).to_bytes(8, "little"))
    except OSError:
        pass  # no such flags here: then they are not what is in the way
