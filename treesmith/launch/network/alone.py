"""A private network without root: each container's own. It reaches what the host reaches, and ports lead into it."""

import os

from treesmith.errors import Error
from treesmith.launch.network import lease
from treesmith.sandbox.tap import Tap
from treesmith.spec.ports import ANYWHERE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.spec.ports import Port

_TUN = "/dev/net/tun"


class Alone:
    """As `lease.Lease`: ports of the host, until `close`."""

    __slots__ = ("hosts", "link")

    def __init__(self, ports: "tuple[Port, ...]") -> None:
        """BusyError: a port is taken. Error: something is missing."""
        program = find()
        for port in ports:
            lease.hold("", port).close()  # pasta takes it next, and says less
        self.link = Tap(program, forwards(ports))
        self.hosts = ""  # nobody else is there

    def close(self) -> None:
        self.link.close()


def forwards(ports: "tuple[Port, ...]") -> "tuple[str, ...]":
    """pasta(1)'s options."""
    found: list[str] = []
    for protocol in ("tcp", "udp"):
        specs = [_spec(port) for port in ports if port.protocol == protocol] or ["none"]
        for spec in specs:
            found += (f"--{protocol}-ports", spec)
    return tuple(found)


def _spec(port: "Port") -> str:
    return ("" if port.address == ANYWHERE else f"{port.address}/") + f"{port.outside}:{port.inside}"


def find() -> str:
    """pasta's path. Error: it is missing, or what it needs."""
    for folder in os.environ.get("PATH", os.defpath).split(":"):
        if os.access(f"{folder}/pasta", os.X_OK):
            break
    else:
        fix = "sudo apt install passt; or --network host, or none"
        raise Error("pasta is missing", "without root, --network private takes it", fix)
    if not os.access(_TUN, os.R_OK | os.W_OK):
        fix = f"sudo chmod 666 {_TUN}" if os.path.exists(_TUN) else "sudo modprobe tun"
        raise Error(f"{_TUN} cannot be opened", "pasta takes it for a private network", fix)
    return f"{folder}/pasta"
