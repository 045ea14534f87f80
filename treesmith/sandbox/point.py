"""Places below a root to mount at, wherever the root's links point: everything is resolved with the root as "/"."""

import errno
import os

from treesmith.errors import Error
from treesmith.linux.file import open_inside
from treesmith.linux.mount import move_mount


def attach(mount: int, root: int, path: str, directory: bool) -> None:
    """Move `mount` onto `path` inside `root`. What is missing there is made, and stays in the root, empty."""
    try:
        point = _open(root, path, directory)
    except OSError as error:
        raise Error(f"nothing can be mounted at {path} of the tree", f"{error.filename}: {error.strerror}") from error
    try:
        move_mount(mount, point)
    except OSError as error:
        kind = "folder" if directory else "file"
        raise Error(f"{path} of the tree is not a {kind}", error.strerror or "", "mount at another path") from error
    finally:
        os.close(point)


def _open(root: int, path: str, directory: bool) -> int:
    try:
        return open_inside(root, path, os.O_PATH)
    except FileNotFoundError:
        pass
    folder, name = os.path.split(path.rstrip("/"))
    if not name:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    parent = _open(root, folder or ".", True)
    try:
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=parent))
    except FileExistsError:
        pass  # a link to nowhere, as a stopped systemd-resolved leaves one: a file can be mounted on the link itself
    finally:
        os.close(parent)
    return open_inside(root, path, os.O_PATH | os.O_NOFOLLOW)
