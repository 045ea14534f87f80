"""Directories, as backends deal with them."""

import os


def is_folder(path: str) -> bool:
    """And no link to one."""
    return os.path.isdir(path) and not os.path.islink(path)


def imitate(folder: str, like: str) -> None:
    """Give a directory the owner, mode, times and xattrs of another, but for overlayfs' own marks."""
    status = os.stat(like)
    os.chown(folder, status.st_uid, status.st_gid)
    os.chmod(folder, status.st_mode & 0o7777)
    for name in os.listxattr(like):
        if not name.startswith("user.overlay."):
            os.setxattr(folder, name, os.getxattr(like, name))
    os.utime(folder, ns=(status.st_atime_ns, status.st_mtime_ns))
