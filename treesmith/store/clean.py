"""What a tree must lose before it is sealed, so that its copies are no twins."""

import errno
import os

from treesmith.linux.file import open_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.backends.contract import Backend, Root

# Random seeds of systemd and sysvinit. Two machines with one seed make the same keys.
_SEEDS = (
    "var/lib/systemd/random-seed",
    "var/lib/urandom/random-seed",
    "var/lib/random-seed",
    "boot/loader/random-seed",
)


def clean_tree(backend: "Backend", tree: "Root") -> None:
    """`clean` on a tree that nobody writes to now."""
    view = backend.open(tree, "rw")
    try:
        root = view.mount()
        try:
            clean(root)
        finally:
            os.close(root)
    finally:
        view.close()


def clean(root: int) -> None:
    """Empty /etc/machine-id, remove ssh host keys and random seeds: machine-id(5), systemd-random-seed(8).

    root: the tree's root directory. Paths are resolved inside it, whatever links it holds.
    """
    _empty(root, "etc/machine-id")
    _empty(root, "var/lib/dbus/machine-id")
    for path in _SEEDS:
        _unlink(root, path)
    folder = _folder(root, "etc/ssh")
    if folder >= 0:
        try:
            for name in os.listdir(folder):
                if name.startswith("ssh_host_") and name.endswith(("_key", "_key.pub", "_key-cert.pub")):
                    os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)


def _empty(root: int, path: str) -> None:
    """Only if it is there and not empty: an untouched file is not copied up. A link out of the tree stays inside."""
    try:
        file = open_inside(root, path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO):
            return
        raise
    try:
        if os.fstat(file).st_size:
            os.truncate(file, 0)
    finally:
        os.close(file)


def _unlink(root: int, path: str) -> None:
    above, _, name = path.rpartition("/")
    folder = _folder(root, above)
    if folder >= 0:
        try:
            os.unlink(name, dir_fd=folder)
        except (FileNotFoundError, IsADirectoryError):
            pass
        finally:
            os.close(folder)


def _folder(root: int, path: str) -> int:
    """-1 if there is none."""
    try:
        return open_inside(root, path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return -1
        raise
