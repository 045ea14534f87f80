"""syscall(2), and how its arguments are packed."""

import _ctypes
import os
import sys

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

# Numbers below 424 differ between machines; from there on all machines share them (asm-generic/unistd.h).
_MACHINES = {
    "x86_64": {
        "ioctl": 16, "pivot_root": 155, "prctl": 157, "mount": 165, "umount2": 166, "sethostname": 170,
        "unshare": 272, "setns": 308, "syncfs": 306, "renameat2": 316, "seccomp": 317, "keyctl": 250, "bpf": 321,
        "capset": 126,
    },
    "aarch64": {
        "ioctl": 29, "pivot_root": 41, "prctl": 167, "mount": 40, "umount2": 39, "sethostname": 161,
        "unshare": 97, "setns": 268, "syncfs": 267, "renameat2": 276, "seccomp": 277, "keyctl": 219, "bpf": 280,
        "capset": 91,
    },
}  # fmt: skip
_EVERYWHERE = {
    "pidfd_send_signal": 424, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "clone3": 435, "close_range": 436, "openat2": 437, "mount_setattr": 442,
    "landlock_create_ruleset": 444, "landlock_restrict_self": 446,
}  # fmt: skip

machine = os.uname().machine
NUMBERS: "dict[str, int]" = {**_MACHINES.get(machine, {}), **_EVERYWHERE}


class Long(_ctypes._SimpleCData):  # type: ignore[type-arg]  # typeshed: generic, but not at run time
    _type_ = "l"


class Pointer(_ctypes._SimpleCData):  # type: ignore[type-arg]  # takes int, bytes (their address) and None
    _type_ = "P"


class Function(_ctypes.CFuncPtr):
    # PYTHONAPI keeps the interpreter's lock over the call: a child of clone3 has no second thread to take it back from.
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO | _ctypes.FUNCFLAG_PYTHONAPI
    _restype_ = Long


_syscall = Function(_ctypes.dlsym(_ctypes.dlopen(None, 2), "syscall"))  # type: ignore[arg-type]  # None: this program
_syscall.argtypes = (Long, *[Pointer] * 6)


def syscall(name: str, *args: "int | bytes | None", what: str = "") -> int:
    """The result of a system call; OSError with its errno, and `what` as its subject.

    bytes are passed by address and must end in a zero byte where the kernel wants a string (Python's always do).
    """
    number = NUMBERS.get(name)
    if number is None:
        raise OSError(38, f"not known on {machine}", name)
    result: int = _syscall(number, *args, *[0] * (6 - len(args)))
    if result < 0:
        error = _ctypes.get_errno()
        raise OSError(error, os.strerror(error), what or name)
    return result


def packed(size: int, *values: int) -> bytes:
    """`values` as unsigned integers of `size` bytes each, in the machine's order: a C struct without holes."""
    return b"".join(value.to_bytes(size, sys.byteorder) for value in values)


def ioctl(fd: int, request: int, argument: "int | bytes" = 0, what: str = "ioctl") -> int:
    return syscall("ioctl", fd, request, argument, what=what)
