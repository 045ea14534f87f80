"""The first process of a sandbox: a static program of the distribution that reaps orphans and forwards signals.

It is run from a sealed memory file, so nothing inside can reach or change a file of the host through /proc/1/exe
(CVE-2019-5736).
"""

import errno
import fcntl
import os

from treesmith.errors import Error
from treesmith.sandbox import elf

# tini: Debian and Fedora; docker.io's. catatonit: Debian; podman's, in Debian and Fedora; openSUSE.
# tini first: catatonit 0.1.7 leaves SIGTSTP blocked in what it starts, so that Ctrl-Z does nothing in a shell.
PLACES = (
    "/usr/bin/tini-static", "/usr/bin/docker-init",
    "/usr/bin/catatonit", "/usr/libexec/podman/catatonit", "/usr/libexec/catatonit/catatonit",
)  # fmt: skip
_F_ADD_SEALS, _EVERYTHING = 1033, 0xF  # seal, shrink, grow, write
_MFD_EXEC = 0x10  # since Linux 6.3


def find() -> int:
    """The init, open for reading. Error: none is installed, or none that is static."""
    for place in PLACES:
        try:
            fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        if elf.is_static(fd):
            return fd
        os.close(fd)
    raise Error(
        "no static init was found for the sandbox's first process",
        "looked for " + ", ".join(PLACES),
        "install one: apt install tini (or catatonit, with which Ctrl-Z does nothing)",
    )


def memory(name: str) -> int:
    """An empty file to fill, seal and then execute."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create(name, flags)


def copy(source: int, target: int) -> None:
    """Fill and seal it."""
    while os.sendfile(target, source, None, 1 << 24):
        pass
    seal(target)


def seal(target: int) -> None:
    """Nobody changes it any more."""
    fcntl.fcntl(target, _F_ADD_SEALS, _EVERYTHING)
