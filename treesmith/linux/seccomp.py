"""Loading a system call filter: seccomp(2), Documentation/userspace-api/seccomp_filter.rst."""

import _ctypes

from treesmith.linux.call import packed, syscall

_SET_MODE_FILTER = 1


class _Byte(_ctypes._SimpleCData):  # type: ignore[type-arg]  # typeshed: generic, but not at run time
    _type_ = "B"


def load(program: bytes) -> None:
    """Filter this process, and all it will start, by a classic BPF program of 8-byte instructions.

    EACCES unless the process has SYS_ADMIN in its user namespace or no_new_privs.
    """
    array = type("_Program", (_ctypes.Array,), {"_type_": _Byte, "_length_": len(program)})
    kept = array(*program)
    syscall("seccomp", _SET_MODE_FILTER, 0, packed(8, len(program) // 8, _ctypes.addressof(kept)), what="seccomp")
