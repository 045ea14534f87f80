"""Ports of the host that lead to a container's: [HOST-IP:]HOST:CONTAINER[/udp]."""

import _socket

from treesmith.errors import UsageError

ANYWHERE = "0.0.0.0"


class Port:
    """protocol: "tcp" or "udp". address: the host's own, dotted; ANYWHERE: every one of them."""

    __slots__ = ("address", "inside", "outside", "protocol")

    def __init__(self, address: str, outside: int, inside: int, protocol: str) -> None:
        self.address = address
        self.outside = outside
        self.inside = inside
        self.protocol = protocol

    @property
    def given(self) -> str:
        """As it may be typed."""
        where = "" if self.address == ANYWHERE else f"{self.address}:"
        return f"{where}{self.outside}:{self.inside}" + ("/udp" if self.protocol == "udp" else "")

    def __str__(self) -> str:
        where = "" if self.address == ANYWHERE else f"{self.address}:"
        return f"{where}{self.outside}/{self.protocol}"


def parse(text: str) -> Port:
    """UsageError: it is none."""
    numbers, _, protocol = text.partition("/")
    address, _, pair = numbers.rpartition("]:") if "]" in numbers else ("", "", numbers)
    fields = pair.split(":")
    if address or len(fields) > 3:
        raise UsageError(f"--port {text}: not understood", "private networks have IPv4 only", _HINT)
    if len(fields) == 3:
        address = fields.pop(0)
    ports = [int(field) if field.isascii() and field.isdecimal() and len(field) < 6 else 0 for field in fields]
    if len(ports) != 2 or not all(0 < port < 65536 for port in ports) or protocol not in ("", "tcp", "udp"):
        raise UsageError(f"--port {text}: not understood", hint=_HINT)
    outside, inside = ports
    return Port(_checked(text, address) if address else ANYWHERE, outside, inside, protocol or "tcp")


_HINT = "--port [HOST-IP:]HOST:CONTAINER[/udp], as --port 8080:80"


def _checked(text: str, address: str) -> str:
    try:
        return _socket.inet_ntoa(_socket.inet_pton(_socket.AF_INET, address))
    except OSError:
        raise UsageError(f"--port {text}: {address} is no IPv4 address", hint=_HINT) from None
