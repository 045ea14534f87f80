"""bpf(2), as far as a program at a cgroup needs it."""

import _ctypes

from treesmith.linux.call import Long, packed, syscall

_PROG_LOAD, _PROG_ATTACH = 5, 8
_CGROUP_DEVICE, _AT_DEVICES = 15, 6  # BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE
_ALLOW_MULTI = 2


class _Text(_ctypes._SimpleCData):  # type: ignore[type-arg]  # typeshed: generic, but not at run time
    _type_ = "z"


def load(program: bytes) -> int:
    """A program for the devices of a cgroup, of 8-byte instructions, as a descriptor."""
    kept = _Text(program), _Text(b"")
    code, licence = (Long.from_address(_ctypes.addressof(each)).value for each in kept)
    asked = packed(4, _CGROUP_DEVICE, len(program) // 8) + packed(8, code, licence) + bytes(24)
    return syscall("bpf", _PROG_LOAD, asked, len(asked), what="a program for devices")


def attach(program: int, cgroup: int) -> None:
    """All programs from the root down to a process's own cgroup must allow what it asks for."""
    asked = packed(4, cgroup, program, _AT_DEVICES, _ALLOW_MULTI)
    syscall("bpf", _PROG_ATTACH, asked, len(asked), what="attach a program for devices")
