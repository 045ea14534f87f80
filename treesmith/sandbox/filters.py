"""The filters' programs, compiled once: libseccomp takes 10 ms for what is loaded in a quarter of one.

A file of /run/treesmith/filters, which only root can enter and no reboot survives: a digest of the rest, the length of
the first program (4 bytes), both programs. Its name is a digest of what the rules are made from (the policy's sources,
by their file and time; what they ask of the sandbox), libseccomp's version, the kernel's release and the machine, so
nothing there is ever out of date. What is not as it should be is made again.
"""

import errno
import os
import stat
from _blake2 import blake2b  # hashlib costs 2 ms

import treesmith
from treesmith.errors import Error
from treesmith.linux.call import machine
from treesmith.linux.file import private_folder
from treesmith.linux.seccomp import ALLOW, Library, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.sandbox.sandbox import Sandbox

RUN = f"{treesmith.RUN}/filters"
_SOURCES = ("policy.py", "calls.py", "../linux/seccomp.py")
_DIGEST = 32  # bytes
_LIMIT = 1 << 20  # bytes; there are some 5,000


class Filters:
    """Programs, ready to be loaded."""

    __slots__ = ("programs",)

    def __init__(self, programs: "tuple[bytes, ...]") -> None:
        self.programs = programs

    def load(self) -> None:
        """For this process, which has SYS_ADMIN in its user namespace, and all it will start."""
        for program in self.programs:
            load(program)


def find(sandbox: "Sandbox") -> Filters:
    """Those of the sandbox; none if it is to have none. Error: they cannot be had."""
    if not sandbox.filtered:
        return Filters(())
    try:
        library = Library()
    except OSError as error:
        raise Error(
            "system calls cannot be filtered: libseccomp is missing",
            str(error),
            "apt install libseccomp2; launch --seccomp=off does without, and is that much less safe",
        ) from error
    path = f"{RUN}/{_name(sandbox, library.version())}"
    programs = _read(path)
    if not programs:
        programs = _compile(library, sandbox)
        _write(path, programs)
    return Filters(programs)


def _name(sandbox: "Sandbox", version: str) -> str:
    here = os.path.dirname(__file__)
    sources = [os.stat(f"{here}/{source}") for source in _SOURCES]
    policy = [(status.st_ino, status.st_size, status.st_mtime_ns) for status in sources]
    asked = sorted(sandbox.capabilities), sandbox.no_sync, sandbox.no_suid, sandbox.nests
    said = repr((policy, asked, version, os.uname().release, machine))
    return str(blake2b(said.encode(), digest_size=16).hexdigest())


def _compile(library: Library, sandbox: "Sandbox") -> "tuple[bytes, ...]":
    from treesmith.sandbox import policy  # late: with the rules it makes it is most of what a launch can save here

    calls, arguments = policy.rules(sandbox)
    try:
        first = library.compile(policy.UNKNOWN, calls, policy.UNKNOWN, machine)
        return first, library.compile(ALLOW, arguments, policy.UNKNOWN, machine)
    except OSError as error:
        raise Error("system calls cannot be filtered", f"{error.filename}: {error.strerror}") from error


def _read(path: str) -> "tuple[bytes, ...]":
    """() where there is nothing, or not what `_write` wrote."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return ()
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            return ()
        content = os.read(fd, _LIMIT)
    finally:
        os.close(fd)
    digest, rest = content[:_DIGEST], content[_DIGEST:]
    if len(digest) < _DIGEST or blake2b(rest, digest_size=_DIGEST).digest() != digest:
        return ()
    end = 4 + int.from_bytes(rest[:4], "little")
    return rest[4:end], rest[end:]


def _write(path: str, programs: "tuple[bytes, ...]") -> None:
    private_folder(RUN)
    rest = len(programs[0]).to_bytes(4, "little") + b"".join(programs)
    draft = f"{path}.{os.getpid()}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(blake2b(rest, digest_size=_DIGEST).digest() + rest)
    os.rename(draft, path)
