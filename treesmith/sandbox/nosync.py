"""A filter under which syncs succeed at once. A build is worth nothing until it is published, which syncs once."""

from treesmith.linux.call import machine, packed

# AUDIT_ARCH_*, and the numbers of fsync fdatasync sync syncfs sync_file_range msync (asm/unistd.h).
_MACHINES = {
    "x86_64": (0xC000003E, (74, 75, 162, 306, 277, 26)),
    "aarch64": (0xC00000B7, (82, 83, 81, 267, 84, 227)),
}
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_ALLOW, _SUCCEED = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO with errno 0


def program() -> bytes:
    """Classic BPF for this machine; b"" where its numbers are not known: then syncs are merely slow."""
    if machine not in _MACHINES:
        return b""
    architecture, numbers = _MACHINES[machine]
    code = [
        _op(_LOAD, _ARCHITECTURE),
        _op(_JUMP_IF_EQUAL, architecture, 1, 0),
        _op(_RETURN, _ALLOW),
        _op(_LOAD, _NUMBER),
    ]
    for left, number in enumerate(reversed(numbers)):
        code.insert(4, _op(_JUMP_IF_EQUAL, number, left + 1, 0))
    return b"".join([*code, _op(_RETURN, _ALLOW), _op(_RETURN, _SUCCEED)])


def _op(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    """One struct sock_filter: how many instructions to skip if the test holds, and if not."""
    return packed(2, code) + bytes([then, otherwise]) + packed(4, value)
