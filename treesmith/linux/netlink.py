"""Network interfaces, their addresses and routes: rtnetlink(7), veth(4).

A message is a header, a struct of its kind, and attributes; each is answered by an errno. Numbers are in the machine's
order, addresses in the network's.
"""

import _socket
import errno
import os

from treesmith.linux.call import packed

_NEWLINK, _DELLINK, _SETLINK, _NEWADDR, _NEWROUTE = 16, 17, 19, 20, 24
_REQUEST, _ACK, _EXCL, _CREATE = 1, 4, 0x200, 0x400
_ERROR = 2
_HEADER = 16  # bytes: length, kind, flags, sequence, port

# linux/if_link.h
_ADDRESS, _IFNAME, _MTU, _MASTER, _LINKINFO, _NET_NS_PID, _AF_SPEC = 1, 3, 4, 10, 18, 19, 26
_INFO_KIND, _INFO_DATA, _VETH_INFO_PEER, _INET6_ADDR_GEN_MODE = 1, 2, 1, 8
_ADDR_GEN_MODE_NONE = 1
_AF_BRIDGE, _PROTINFO, _BRPORT_MODE = 7, 12, 4
_NESTED = 1 << 15
# linux/if_addr.h, linux/rtnetlink.h
_IFA_ADDRESS, _IFA_LOCAL, _RTA_OIF, _RTA_GATEWAY = 1, 2, 4, 5
_TABLE_MAIN, _STATIC, _UNICAST = 254, 4, 1
_IFF_UP = 1


class Netlink:
    """A conversation about the network namespace in which it began. `close` it."""

    __slots__ = ("_socket",)

    def __init__(self) -> None:
        self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, 0)
        self._socket.bind((0, 0))

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_bridge(self, name: str, mac: bytes, mtu: int) -> None:
        """Not up yet."""
        kind = _attribute(_LINKINFO, _attribute(_INFO_KIND, b"bridge"))
        body = _link() + _named(name) + _attribute(_ADDRESS, mac) + _attribute(_MTU, packed(4, mtu)) + kind
        self._ask(_NEWLINK, _CREATE | _EXCL, body, f"make the bridge {name}")

    def add_veth(self, name: str, peer: str, mac: bytes, mtu: int, pid: int) -> None:
        """A pair, not up yet: `name` here; `peer`, of the address `mac`, in the network namespace of process `pid`."""
        size = _attribute(_MTU, packed(4, mtu))
        other = _link() + _named(peer) + _attribute(_ADDRESS, mac) + _attribute(_NET_NS_PID, packed(4, pid)) + size
        data = _attribute(_INFO_DATA, _attribute(_VETH_INFO_PEER, other))
        body = _link() + _named(name) + size + _attribute(_LINKINFO, _attribute(_INFO_KIND, b"veth") + data)
        self._ask(_NEWLINK, _CREATE | _EXCL, body, f"make the interface {name}")

    def up(self, name: str, master: str = "") -> None:
        """Bring it up, as a port of the bridge `master`; without an IPv6 address made from its MAC."""
        index = _socket.if_nametoindex(name)
        mode = _attribute(10, _attribute(_INET6_ADDR_GEN_MODE, bytes((_ADDR_GEN_MODE_NONE,))))
        try:
            self._ask(_NEWLINK, 0, _link(index) + _attribute(_AF_SPEC, mode), f"no IPv6 on {name}")
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL):  # a machine without IPv6
                raise
        body = _link(index, _IFF_UP)
        if master:
            body += _attribute(_MASTER, packed(4, _socket.if_nametoindex(master)))
        self._ask(_NEWLINK, 0, body, f"bring up {name}")

    def reflect(self, name: str) -> None:
        """Let its bridge send back by this port what came in by it: what the other end sends to itself by detours."""
        mode = _attribute(_PROTINFO | _NESTED, _attribute(_BRPORT_MODE, b"\1"))
        body = _link(_socket.if_nametoindex(name), family=_AF_BRIDGE) + mode
        self._ask(_SETLINK, 0, body, f"reflect at {name}")

    def delete(self, name: str) -> bool:
        """A veth's other end goes with it. False: there is none of this name."""
        try:
            self._ask(_DELLINK, 0, _link() + _named(name), f"delete the interface {name}")
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            return False
        return True

    def add_address(self, name: str, address: str, prefix: int) -> None:
        raw = _socket.inet_aton(address)
        body = bytes((_socket.AF_INET, prefix, 0, 0)) + packed(4, _socket.if_nametoindex(name))
        body += _attribute(_IFA_LOCAL, raw) + _attribute(_IFA_ADDRESS, raw)
        self._ask(_NEWADDR, _CREATE | _EXCL, body, f"give {name} the address {address}")

    def add_gateway(self, name: str, address: str) -> None:
        """The way to everywhere else leads over `name`."""
        body = bytes((_socket.AF_INET, 0, 0, 0, _TABLE_MAIN, _STATIC, 0, _UNICAST)) + bytes(4)
        body += _attribute(_RTA_GATEWAY, _socket.inet_aton(address))
        body += _attribute(_RTA_OIF, packed(4, _socket.if_nametoindex(name)))
        self._ask(_NEWROUTE, _CREATE | _EXCL, body, f"route over {address}")

    def _ask(self, kind: int, flags: int, body: bytes, what: str) -> None:
        """OSError, with `what` as its subject: the kernel refused."""
        header = packed(4, _HEADER + len(body)) + packed(2, kind, flags | _REQUEST | _ACK) + packed(4, 1, 0)
        self._socket.send(header + body)
        answer = self._socket.recv(65536)
        if int.from_bytes(answer[4:6], "little") != _ERROR:
            raise OSError(errno.EPROTO, os.strerror(errno.EPROTO), what)
        number = -int.from_bytes(answer[_HEADER : _HEADER + 4], "little", signed=True)
        if number:
            raise OSError(number, os.strerror(number), what)


def _link(index: int = 0, flags: int = 0, family: int = 0) -> bytes:
    """struct ifinfomsg; `flags` are those to set."""
    return bytes((family, 0)) + packed(2, 0) + packed(4, index, flags, flags)


def _named(name: str) -> bytes:
    return _attribute(_IFNAME, name.encode() + b"\0")


def _attribute(kind: int, value: bytes) -> bytes:
    """struct nlattr: its length without the padding to four bytes, its kind, the value."""
    return packed(2, 4 + len(value), kind) + value + bytes(-len(value) % 4)
