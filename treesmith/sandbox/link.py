"""A sandbox's link to a bridge of the host: a pair of interfaces, one end outside, one inside as eth0."""

from treesmith.linux.netlink import Netlink

_INSIDE = "eth0"


class Link:
    """name: of the end outside, a port of `bridge`. address, gateway: IPv4, dotted; prefix: the network's bits."""

    __slots__ = ("address", "bridge", "gateway", "mac", "mtu", "name", "prefix")

    def __init__(
        self, bridge: str, name: str, address: str, prefix: int, gateway: str, mac: bytes, mtu: int
    ) -> None:  # fmt: skip
        self.bridge = bridge
        self.name = name
        self.address = address
        self.prefix = prefix
        self.gateway = gateway
        self.mac = mac  # of the end inside
        self.mtu = mtu

    def connect(self, pid: int) -> None:
        """Outside: make the pair, one end in the network namespace of `pid`."""
        with Netlink() as netlink:
            netlink.delete(self.name)  # after a reboot inside: the kernel takes its time with the namespace before
            netlink.add_veth(self.name, _INSIDE, self.mac, self.mtu, pid)
            netlink.up(self.name, self.bridge)
            netlink.reflect(self.name)  # its own ports of the host

    def configure(self) -> None:
        """Inside, while it may still."""
        with Netlink() as netlink:
            netlink.add_address(_INSIDE, self.address, self.prefix)
            netlink.up(_INSIDE)
            netlink.add_gateway(_INSIDE, self.gateway)
        with open("/proc/sys/net/ipv4/ping_group_range", "w") as file:  # ping needs no capability then: icmp(7)
            file.write("0 65535")
