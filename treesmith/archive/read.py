"""Reading files of a root that is not trusted."""

import os
import stat

from treesmith.linux.file import open_inside


def read(root: int, path: str) -> bytes:
    """The content of a regular file, its links followed with the root as "/"; b"" where there is none."""
    try:
        fd = open_inside(root, path.lstrip("/"), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)  # a FIFO must not hold us
    except OSError:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b""
        with open(fd, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(fd)


def read_below(folder: str, path: str) -> bytes:
    """The same of a folder of the host's, which those inside may write to."""
    root = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return read(root, path)
    finally:
        os.close(root)
