"""/dev: a tmpfs with the six harmless devices, the container's own ptys and queues."""

import os

from treesmith.errors import Error
from treesmith.linux.mount import NODEV, NOEXEC, NOSUID, move_mount, new_mount, open_tree

_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}


def make() -> int:
    """A tmpfs, detached: attach it, then `fill` it."""
    return new_mount("tmpfs", NOSUID | NOEXEC, (("mode", "0755"), ("size", "64k")))


def fill(dev: int) -> int:
    """Everything that belongs there, while the host's /dev is still in its place. Returns the devpts."""
    for name, number in _DEVICES.items():
        node = open_tree(f"/dev/{name}")
        status = os.fstat(node)  # of the mount that is used, not of a path that could change (CVE-2025-31133)
        if status.st_mode & 0o170000 != 0o020000 or (os.major(status.st_rdev), os.minor(status.st_rdev)) != number:
            raise Error(f"the host's /dev/{name} is not the device that it should be")
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, dir_fd=dev))
        move_mount(node, dev, name)
        os.close(node)
    for name, target in _LINKS.items():
        os.symlink(target, name, dir_fd=dev)
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(name, 0o755, dir_fd=dev)
    _mount(dev, "shm", new_mount("tmpfs", NOSUID | NODEV, (("mode", "1777"),)))
    _mount(dev, "mqueue", new_mount("mqueue", NOSUID | NODEV | NOEXEC))
    options = (("newinstance", None), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5"))  # 5: tty, everywhere
    pts = new_mount("devpts", NOSUID | NOEXEC, options)
    move_mount(pts, dev, "pts")
    return pts


def console(dev: int, pts: int, number: int) -> None:
    """Make the pty of this number also /dev/console, where an init looks for it."""
    os.close(os.open("console", os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, dir_fd=dev))
    _mount(dev, "console", open_tree(str(number), pts))


def _mount(dev: int, name: str, mount: int) -> None:
    move_mount(mount, dev, name)
    os.close(mount)
