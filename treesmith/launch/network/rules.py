"""What nftables is told, for all private networks of a host at once: nft(8).

One table routes, translates and hides; the other, of the bridge, sees to it that whoever is on it speaks only as
himself. Both are replaced whole, in one transaction, and connections live on: so what somebody flushed is back with
the next launch.
"""

import os

from treesmith.errors import Error
from treesmith.spec.ports import ANYWHERE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from treesmith.sandbox.link import Link
    from treesmith.spec.ports import Port

TABLE = "treesmith"
GONE = f"add table inet {TABLE}\ndelete table inet {TABLE}\nadd table bridge {TABLE}\ndelete table bridge {TABLE}\n"


def script(bridge: str, network: str, links: "Iterable[tuple[Link, tuple[Port, ...]]]") -> str:
    """network: as "10.209.0.0/16". The names of the links begin with that of the bridge and a hyphen."""
    present = list(links)
    anywhere, somewhere, given = [], [], []
    for link, ports in present:
        given.append(f'"{link.name}" . {link.mac.hex(":")} . {link.address}')
        for port in ports:
            target = f"{port.protocol} . {port.outside} : {link.address} . {port.inside}"
            if port.address == ANYWHERE:
                anywhere.append(target)
            else:
                somewhere.append(f"{port.address} . {target}")
    return (
        GONE
        + f"""
table inet {TABLE} {{
    map anywhere {{
        type inet_proto . inet_service : ipv4_addr . inet_service
        {_elements(anywhere)}
    }}
    map somewhere {{
        type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
        {_elements(somewhere)}
    }}
    # Ports on the host's loopback are answered through the bridge (route_localnet): nobody may come in that way.
    chain first {{
        type filter hook prerouting priority -300
        iifname "{bridge}" ip daddr 127.0.0.0/8 counter drop
        iifname "{bridge}" ip saddr != {network} counter drop
    }}
    chain arriving {{
        type nat hook prerouting priority -100
        dnat ip to ip daddr . meta l4proto . th dport map @somewhere
        fib daddr type local dnat ip to meta l4proto . th dport map @anywhere
    }}
    chain own {{
        type nat hook output priority -100
        dnat ip to ip daddr . meta l4proto . th dport map @somewhere
        fib daddr type local dnat ip to meta l4proto . th dport map @anywhere
    }}
    chain leaving {{
        type nat hook postrouting priority 100
        ip saddr {network} oifname != "{bridge}" masquerade
        ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade
        ip saddr {network} oifname "{bridge}" ct status dnat masquerade
    }}
    # From elsewhere only to ports that were opened, whatever routes the neighbours may have.
    chain through {{
        type filter hook forward priority 0
        iifname != "{bridge}" oifname "{bridge}" ct state new ct status ! dnat counter drop
    }}
}}
table bridge {TABLE} {{
    set given {{
        type ifname . ether_addr . ipv4_addr
        {_elements(given)}
    }}
    chain arriving {{
        type filter hook prerouting priority 0
        iifname != "{bridge}-*" accept
        iifname . ether saddr . ip saddr @given accept
        iifname . ether saddr . arp saddr ip @given iifname . arp saddr ether . arp saddr ip @given accept
        counter drop
    }}
}}
"""
    )


def find_nft() -> str:
    """The program's path, which need not be in PATH. Error: it is nowhere."""
    for place in ("/usr/sbin/nft", "/usr/bin/nft", "/sbin/nft"):
        if os.access(place, os.X_OK):
            return place
    raise Error("there is no program nft", "private networks are made of its rules", "apt install nftables")


def _elements(words: "list[str]") -> str:
    return f"elements = {{ {', '.join(words)} }}" if words else ""
