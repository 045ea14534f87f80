"""The bridge in the host's network namespace: there as long as somebody is on it."""

import _socket
import fcntl
import os
import sys

from treesmith.errors import Error
from treesmith.linux.call import packed
from treesmith.linux.netlink import Netlink

NAME = "treesmith"
PREFIX = 16
_SIOCGIFMTU = 0x8921
_USUAL_MTU = 1500
_FORWARD = "/proc/sys/net/ipv4/ip_forward"
# Tried in this order: of the private networks of RFC 1918 the less popular first.
_CANDIDATES: "list[int]" = [(10 << 8) + second for second in (*range(209, 255), *range(100, 209))]
_CANDIDATES += [(172 << 8) + second for second in range(31, 15, -1)]


def is_there() -> bool:
    try:
        return bool(_socket.if_nametoindex(NAME))
    except OSError:
        return False


def choose(routes: str) -> int:
    """The upper half of a /16 that no route leads into. routes: /proc/net/route. Error: there is none."""
    taken = [(destination, mask) for _, destination, mask in _routes(routes) if mask]
    for candidate in _CANDIDATES:
        first, network = candidate << 16, 0xFFFF0000
        if not any((first ^ destination) & mask & network == 0 for destination, mask in taken):
            return candidate
    raise Error("no network is free for --network private", "the host has routes into every private one")


def address(upper: int, lower: int) -> str:
    return _socket.inet_ntoa((upper << 16 | lower).to_bytes(4, "big"))


def hardware(upper: int, lower: int) -> bytes:
    """A MAC of the locally administered ones, the same for the same address."""
    return b"\x02\x74" + (upper << 16 | lower).to_bytes(4, "big")


def make(upper: int) -> None:
    """The bridge with the network's first address; and let the host forward, which is said if it was not so."""
    with Netlink() as netlink:
        netlink.delete(NAME)
        netlink.add_bridge(NAME, hardware(upper, 1), mtu())
        netlink.add_address(NAME, address(upper, 1), PREFIX)
        netlink.up(NAME)
    # Answers to connections from the host's loopback come in here; `rules` refuses everything else to it.
    _set(f"/proc/sys/net/ipv4/conf/{NAME}/route_localnet")
    with open(_FORWARD) as file:
        forwards = file.read().strip() == "1"
    if not forwards:
        _set(_FORWARD)
        sys.stderr.write("treesmith: for --network private this host forwards IPv4 from now on: net.ipv4.ip_forward\n")
        sys.stderr.flush()


def remove() -> None:
    with Netlink() as netlink:
        netlink.delete(NAME)


def mtu() -> int:
    """Of the interface that leads out, so that nothing must be cut on its way."""
    name = next((name for name, destination, mask in _routes(routes()) if not destination and not mask), "")
    if not name:
        return _USUAL_MTU
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        answer = fcntl.ioctl(sock.fileno(), _SIOCGIFMTU, name.encode().ljust(16, b"\0") + bytes(24))
        return int.from_bytes(answer[16:20], sys.byteorder)
    except OSError:
        return _USUAL_MTU
    finally:
        sock.close()


def routes() -> str:
    with open("/proc/net/route") as file:
        return file.read()


def _routes(text: str) -> "list[tuple[str, int, int]]":
    """(interface, destination, mask) of each; the kernel prints addresses as if they were numbers of the machine's."""
    rows = [line.split() for line in text.splitlines()[1:]]
    return [(row[0], _number(row[1]), _number(row[7])) for row in rows if len(row) > 7]


def _number(text: str) -> int:
    return int.from_bytes(packed(4, int(text, 16)), "big")


def _set(path: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"1")
        finally:
            os.close(fd)
    except OSError as error:
        hint = "sysctl -w net.ipv4.ip_forward=1" if path == _FORWARD else ""
        raise Error(f"{path} cannot be set", f"{error.strerror}; --network private needs it", hint) from error
