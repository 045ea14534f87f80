"""As much of an executable's head as tells whether it can be run: elf(5)."""

import os
import sys

from treesmith.linux.call import machine

_MACHINES = {"x86_64": 62, "aarch64": 183}
_PT_INTERP = 3


def is_static(fd: int) -> bool:
    return os.pread(fd, 4, 0) == b"\x7fELF" and not interpreter(fd)


def is_foreign(fd: int) -> bool:
    """A program for a machine of another kind."""
    head = os.pread(fd, 20, 0)
    return head[:4] == b"\x7fELF" and int.from_bytes(head[18:20], sys.byteorder) != _MACHINES.get(machine)


def interpreter(fd: int) -> str:
    """The program that this machine's kernel needs to run this one: a loader, or what stands behind "#!".

    "": none, or not known. Another machine's programs may run all the same, by binfmt_misc.
    """
    head = os.pread(fd, 4096, 0)
    if head[:2] == b"#!":
        words = head[2:].split(b"\n", 1)[0].split(maxsplit=1)
        return os.fsdecode(words[0]) if words else ""
    order = sys.byteorder
    if head[:5] != b"\x7fELF\x02" or int.from_bytes(head[18:20], order) != _MACHINES.get(machine):
        return ""
    start, size, count = (int.from_bytes(head[a:b], order) for a, b in ((32, 40), (54, 56), (56, 58)))
    for offset in range(start, start + min(count, 64) * size, size):
        segment = os.pread(fd, size, offset)
        if int.from_bytes(segment[:4], order) == _PT_INTERP:
            where, length = int.from_bytes(segment[8:16], order), int.from_bytes(segment[32:40], order)
            return os.fsdecode(os.pread(fd, min(length, 4096), where).rstrip(b"\0"))
    return ""
