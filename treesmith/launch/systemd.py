"""The host's systemd, where there is one: org.freedesktop.systemd1(5), org.freedesktop.machine1(5), sd_notify(3).

It is asked through its own busctl. Nothing here is needed where it does not run.
"""

import _socket
import os
import sys
import time

import treesmith
from treesmith.errors import Error
from treesmith.run import output
from treesmith.sandbox import cgroup

_RUNS = "/run/systemd/system"  # sd_booted(3)
_BUS = "/run/dbus/system_bus_socket"
_MACHINED = ("/lib/systemd/systemd-machined", "/usr/lib/systemd/systemd-machined")
_PATIENCE = 5.0  # s
_CALL = ("busctl", "--system", "--quiet", "call")
_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_MACHINES = ("org.freedesktop.machine1", "/org/freedesktop/machine1", "org.freedesktop.machine1.Manager")


def prepare(name: str, needed: bool) -> None:
    """See to it that the cgroup we are in is ours to divide: that of a unit with Delegate=, or of a new scope. Without
    root whoever wants one has started us in it.

    Error: systemd does not give us one, and it is needed.
    """
    own = cgroup.own() if cgroup.base() else None
    if treesmith.ROOTLESS or not os.path.isdir(_RUNS) or own is None or cgroup.is_delegated(own):
        return
    try:
        _scope(name)
    except Error:
        if needed:
            raise


def _scope(name: str) -> None:
    unit = f"treesmith-{name.replace('~', '-')}-{os.getpid()}.scope"
    properties = ("3", "PIDs", "au", "1", str(os.getpid()), "Delegate", "b", "true", "CollectMode", "s",
                  "inactive-or-failed")  # fmt: skip
    output((*_CALL, *_MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", *properties, "0"))
    end = time.monotonic() + _PATIENCE
    while (own := cgroup.own()) is None or not own.endswith(f"/{unit}") or not cgroup.is_delegated(own):
        if time.monotonic() > end:
            raise Error(f"systemd has not made {unit}")
        time.sleep(0.005)


def register(name: str, uuid: str, leader: int) -> None:
    """Tell machined of a system, for machinectl(1), if there is one. It forgets it by itself."""
    if treesmith.ROOTLESS or not os.path.exists(_BUS) or not any(map(os.path.exists, _MACHINED)):
        return
    id = [str(int(uuid.replace("-", "")[at : at + 2], 16)) for at in range(0, 32, 2)]
    words = ("16", *id, "treesmith", "container", str(leader), "")
    try:
        output((*_CALL, *_MACHINES, "RegisterMachine", "sayssus", name.replace("~", "-"), *words))
    except Error as error:
        sys.stderr.write(f"treesmith: machinectl will not know of {name}: {error.brief}\n")


def notify(text: str) -> None:
    """To whoever started us and wants to know, as a unit of Type=notify does; else nothing."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        sock.sendto(text.encode(), f"\0{path[1:]}" if path.startswith("@") else path)
    except OSError as error:
        raise Error(f"NOTIFY_SOCKET {path}: nobody can be told", error.strerror or "") from error
    finally:
        sock.close()
