"""Mounts as descriptors: open_tree, fsopen, move_mount, mount_setattr (Documentation/filesystems/mount_api.rst).

A mount that only a descriptor holds ("detached") is in nobody's mount table and vanishes with the descriptor; files
below it are reached with `dir_fd` at once.
"""

import os

from treesmith.linux.call import AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE, packed, syscall

RDONLY, NOSUID, NODEV, NOEXEC, NOSYMFOLLOW = 1, 2, 4, 8, 0x200000
IDMAP = 0x100000
PRIVATE = 1 << 18  # MS_PRIVATE, for `propagation`
MNT_DETACH = 2

_OPEN_TREE_CLONE = 1
_SET_FLAG, _SET_STRING, _SET_FD, _CREATE = 0, 1, 5, 6  # fsconfig(2)
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_F_EMPTY_PATH, _T_EMPTY_PATH = 0x04, 0x40  # move_mount(2)


def open_tree(path: str, at: int = AT_FDCWD, recursive: bool = False) -> int:
    """A detached copy of the mount at `path`, with that path as its root; "" is `at` itself."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (AT_RECURSIVE if recursive else 0) | (0 if path else AT_EMPTY_PATH)
    return syscall("open_tree", at, os.fsencode(path), flags, what=f"open_tree {path}")


def set_attributes(
    mount: int, attributes: int, clear: int = 0, userns: int = 0, propagation: int = 0, recursive: bool = False
) -> None:
    """mount_setattr(2) on a mount's descriptor. With IDMAP, `userns` is the namespace whose maps to use."""
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    arguments = packed(8, attributes, clear, propagation, userns)
    syscall("mount_setattr", mount, b"", flags, arguments, len(arguments), what="mount_setattr")


def move_mount(mount: int, at: int, path: str = "") -> None:
    """Attach a detached mount at `path` below `at`, or at `at` itself. `path` follows links: open it safely first."""
    flags = _F_EMPTY_PATH | (0 if path else _T_EMPTY_PATH)
    syscall("move_mount", mount, b"", at, os.fsencode(path), flags, what=f"move_mount {path}")


def new_mount(fstype: str, attributes: int = 0, options: "tuple[tuple[str, str | int | None], ...]" = ()) -> int:
    """A fresh, detached mount. An option's value is a string, a descriptor (int), or None for a flag.

    OSError carries the context's own log, which says what the errno does not.
    """
    context = syscall("fsopen", fstype.encode(), _FSOPEN_CLOEXEC, what=f"fsopen {fstype}")
    try:
        for key, value in options:
            what = f"{fstype}: {key}" + ("" if value is None else f"={value}")
            if isinstance(value, int):
                syscall("fsconfig", context, _SET_FD, key.encode(), None, value, what=what)
            elif value is None:
                syscall("fsconfig", context, _SET_FLAG, key.encode(), None, 0, what=what)
            else:
                syscall("fsconfig", context, _SET_STRING, key.encode(), os.fsencode(value), 0, what=what)
        syscall("fsconfig", context, _CREATE, None, None, 0, what=f"create {fstype}")
        return syscall("fsmount", context, _FSMOUNT_CLOEXEC, attributes, what=f"fsmount {fstype}")
    except OSError as error:
        try:
            error.filename += ": " + os.read(context, 4096).decode(errors="replace").strip()
        except OSError:
            pass  # ENODATA: nothing was logged
        raise
    finally:
        os.close(context)


def mount(source: str, target: str, fstype: str, flags: int = 0, data: str = "") -> None:
    """mount(2), for what the descriptor calls cannot do on old kernels. `data` is at most a page."""
    syscall(
        "mount", os.fsencode(source), os.fsencode(target), fstype.encode() or None, flags, os.fsencode(data) or None,
        what=f"mount {fstype} on {target}",
    )  # fmt: skip


def umount(target: str, flags: int = 0) -> None:
    syscall("umount2", os.fsencode(target), flags, what=f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    syscall("pivot_root", os.fsencode(new), os.fsencode(old), what="pivot_root")
