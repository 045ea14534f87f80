"""Paths that may not leave a directory, and the few file calls that the os module lacks."""

import os

from treesmith.linux.call import AT_FDCWD, ioctl, packed, syscall

NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH, IN_ROOT = 0x01, 0x02, 0x04, 0x08, 0x10  # openat2(2)
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
_FICLONE = 0x40049409


def open_inside(root: int, path: str, flags: int, mode: int = 0, resolve: int = IN_ROOT | NO_MAGICLINKS) -> int:
    """open(2) with `root` as "/" whatever links and ".." the path meets: openat2(2)."""
    how = packed(8, flags | os.O_CLOEXEC, mode, resolve)
    return syscall("openat2", root, os.fsencode(path), how, len(how), what=path)


def rename(source: str, target: str, flags: int = 0, source_at: int = AT_FDCWD, target_at: int = AT_FDCWD) -> None:
    """renameat2(2)."""
    arguments = (source_at, os.fsencode(source), target_at, os.fsencode(target), flags)
    syscall("renameat2", *arguments, what=f"rename {source} to {target}")


def private_folder(path: str) -> None:
    """Make a folder that only its owner can enter, and what is missing above it, which os.makedirs leaves open."""
    if os.path.isdir(path):
        return
    private_folder(os.path.dirname(path))
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass


def syncfs(fd: int) -> None:
    """Write out everything dirty on the filesystem of `fd`: everybody's pages, so say why at the call."""
    syscall("syncfs", fd, what="syncfs")


def reflink(source: int, target: int) -> None:
    """Make `target` share all of `source`'s data: ioctl_ficlone(2). EOPNOTSUPP, EXDEV, EINVAL where it cannot."""
    ioctl(target, _FICLONE, source, what="FICLONE")
