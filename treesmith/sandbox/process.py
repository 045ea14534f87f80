"""What runs in a sandbox, as the one outside holds it."""

import os
import time

from treesmith.linux.process import send_signal
from treesmith.sandbox import cgroup, signals
from treesmith.sandbox.point import Made

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from treesmith.ids import Ids

_SIGKILL = 9


class Process:
    """The first process of a sandbox, our child. Whoever has one must `close` it, or die: it dies with us."""

    __slots__ = (
        "_closing", "_status", "began", "boots", "cgroup", "folders", "ids", "keeper", "killed_by", "made", "mask",
        "notify", "pid", "pidfd", "pty",
    )  # fmt: skip

    def __init__(self, mask: "Iterable[int]") -> None:
        self.mask = mask  # for `signals.restore`, as soon as what they raise is caught
        self.ids: Ids | None = None
        self.cgroup = ""  # its path; "" where the host lets nobody make one
        self.folders: list[str] = []  # of the limits that are not in it
        self.made = Made()  # in the tree, and to be gone from it
        self.keeper = 0  # our child that has it for a child, and ends with its exit status; 0: it is ours
        self.pid = 0
        self.began = ""  # when, in ticks since boot
        self.pidfd = -1  # readable when it is gone
        self.boots = False  # it is an init
        self.pty = -1  # the master of its terminal
        self.notify = -1  # where it says that it is ready: see `boot`
        self.killed_by = 0  # the signal that ended it
        self._closing: list[int] = []  # descriptors
        self._status: int | None = None

    def holds(self, *fds: int) -> None:
        """Close these with the process. A slave of the pty is one: with none open inside, the master would be EIO."""
        self._closing += fds

    def wait(self) -> int:
        """Until everything inside is gone: the exit status, 128+N for the signal N."""
        if self._status is None:
            status = os.waitpid(self.keeper or self.pid, 0)[1]
            self.killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            self._status = 128 + self.killed_by if self.killed_by else os.WEXITSTATUS(status)
            self._let_go()
        return self._status

    def signal(self, number: int) -> None:
        """See `deliver`."""
        deliver(self.pid, self.pidfd, number)

    def kill(self) -> None:
        """SIGKILL to it, and so to everything inside."""
        if self._status is None and self.pid:
            try:
                send_signal(self.pidfd, _SIGKILL)
            except ProcessLookupError:
                pass  # its keeper has seen its end already

    def close(self) -> None:
        """Everything inside is gone on return, its cgroup and its ids too. Again is harmless."""
        signals.block()
        if self.pid or self.keeper:
            self.kill()
            self.wait()
            self.pid = self.keeper = 0
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        self._let_go()
        self.made.remove()
        if self.pty >= 0:
            os.close(self.pty)
            self.pty = -1
        if self.cgroup:
            cgroup.remove(self.cgroup)
            self.cgroup = ""
        while self.folders:
            cgroup.remove(self.folders.pop())
        if self.ids:
            self.ids.close()
            self.ids = None
        signals.restore(self.mask)

    def _let_go(self) -> None:
        while self._closing:
            os.close(self._closing.pop())


def deliver(pid: int, pidfd: int, number: int) -> None:
    """Send a signal, once it can be taken: the init of a pid namespace loses what it neither blocks nor catches
    (pid_namespaces(7)), and just after its exec that is everything."""
    for _ in range(200):
        if takes(pid, number):
            break
        time.sleep(0.002)
    try:
        send_signal(pidfd, number)
    except ProcessLookupError:
        pass


def takes(pid: int, number: int) -> bool:
    """Whether a process blocks or catches a signal, and so gets it even as the init of a pid namespace."""
    try:
        with open(f"/proc/{pid}/status") as file:
            lines = file.read().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return True
    if number == _SIGKILL or any(line.startswith("State:\tZ") for line in lines):
        return True
    masks = [int(line[8:], 16) for line in lines if line.startswith(("SigBlk:", "SigCgt:"))]
    return any(mask >> number - 1 & 1 for mask in masks)
