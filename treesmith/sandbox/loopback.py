"""The one interface of a network namespace that has no network: netdevice(7)."""

import _socket

from treesmith.linux.call import ioctl, packed

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def up() -> None:
    """127.0.0.1 and ::1 can be used, as programs that talk to themselves expect."""
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    request = b"lo".ljust(16, b"\0") + packed(2, _IFF_UP) + bytes(22)  # struct ifreq
    ioctl(sock.fileno(), _SIOCSIFFLAGS, request, "bring up lo")
    sock.close()
