"""A terminal of the sandbox's own: pty(7), from its own devpts."""

import fcntl
import os
import sys

from treesmith.linux.call import ioctl, packed

_TIOCSCTTY = 0x540E
_TIOCSWINSZ = 0x5414
_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441
_TIOCGPTN = 0x80045430


def make(pts: int, size: "tuple[int, int]") -> "tuple[int, int]":
    """(master, slave). The slave is opened through the master, not by a name (CVE-2025-52565)."""
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    master = os.open("ptmx", flags | os.O_NOFOLLOW, dir_fd=pts)
    ioctl(master, _TIOCSPTLCK, bytes(4), "TIOCSPTLCK")
    ioctl(master, _TIOCSWINSZ, packed(2, *size, 0, 0), "TIOCSWINSZ")
    return master, ioctl(master, _TIOCGPTPEER, flags, "TIOCGPTPEER")


def number(master: int) -> int:
    """Its name in the devpts."""
    found = bytearray(4)
    fcntl.ioctl(master, _TIOCGPTN, found)
    return int.from_bytes(found, sys.byteorder)


def control(slave: int) -> None:
    """Make it the terminal of this session, whose leader we are."""
    ioctl(slave, _TIOCSCTTY, 0, "TIOCSCTTY")
