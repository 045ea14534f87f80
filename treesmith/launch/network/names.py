"""Who is who, inside a private network: each member's hosts file, and its resolver. Pure."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Member = tuple[str, tuple[str, ...]]  # address; names, of which the first is for all

_LOCAL = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"


def hosts(own: "Member", members: "Iterable[Member]") -> str:
    """hosts(5) as the member `own` sees it: its own names come first, and mean nobody else."""
    address, names = own
    rows = [(address, tuple(dict.fromkeys(names)))]
    rows += [(other, (called[0],)) for other, called in members if other != address and called[0] not in names]
    return _LOCAL + "".join(f"{address} {' '.join(names)}\n" for address, names in rows)


def resolver(text: str) -> str:
    """A resolv.conf(5) without the servers that a private network does not reach: those on the host's loopback, and
    IPv6. "" if none is left."""
    lines = text.splitlines()
    kept = [line for line in lines if not _is_server(line) or _is_reached(line)]
    return "\n".join(kept) + "\n" if any(map(_is_server, kept)) else ""


def _is_server(line: str) -> bool:
    return line.split()[:1] == ["nameserver"]


def _is_reached(line: str) -> bool:
    server = (*line.split(), "")[1]
    return bool(server) and ":" not in server and not server.startswith(("127.", "0."))
