"""Ending and holding up a container that somebody else supervises."""

import os
import select

from treesmith.errors import Error
from treesmith.launch import containers, machine
from treesmith.linux.process import send_signal
from treesmith.sandbox import cgroup
from treesmith.sandbox.process import deliver
from treesmith.sandbox.standstill import Turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SIGKILL = 9


def stop(record: "dict[str, Any]", number: int, timeout: float) -> bool:
    """Ask its first process to end, with a signal, or as an init wants to be asked (0); kill everything after
    `timeout` s. Returns when its tree is free: whether it ended by itself. NotFoundError: it had ended before."""
    with containers.Watch(record) as watch:
        pidfd = containers.hold(record)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        try:
            if record["inside"]["nests"]:
                machine.no_more(record, watch)
            if number:
                deliver(record["pid"], pidfd, number)
            else:
                machine.ask(record["pid"], pidfd)
            if record["cgroup"] and cgroup.is_frozen(record["cgroup"]):
                with Turn(record["id"]):
                    cgroup.freeze(record["cgroup"], False)
            obeyed = bool(poll.poll(timeout * 1000))
            if not obeyed:
                kill(pidfd)
        finally:
            os.close(pidfd)
        watch.ended(block=True)
        if watch.status() is None:
            containers.recover()
    return obeyed


def kill(pidfd: int) -> None:
    """SIGKILL to the init of a pid namespace: the kernel kills all others in it, and lets none be made any more."""
    try:
        send_signal(pidfd, _SIGKILL)
    except ProcessLookupError:
        pass


def freeze(record: "dict[str, Any]", frozen: bool) -> None:
    """Hold everything inside up where it is, or let it go on. Again is harmless."""
    os.close(containers.hold(record))
    path = record["cgroup"]
    if not path:
        raise Error(f"{record['name']} cannot be frozen", "this machine lets nobody make a cgroup for it")
    with Turn(record["id"]):
        if cgroup.freeze(path, frozen) or not frozen:
            return
        cgroup.freeze(path, False)
        raise Error(f"{record['name']} does not freeze", "a process inside waits for a device")
