"""A booted system: asking it to halt, and what follows its end. Signals: systemd(1), init(8), initctl(5)."""

import os
import stat
import time

from treesmith.linux.call import packed
from treesmith.linux.file import open_inside
from treesmith.linux.process import began, send_signal
from treesmith.sandbox import boot
from treesmith.sandbox.process import deliver, takes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from treesmith.launch.containers import Watch
    from treesmith.sandbox.process import Process

_SIGUSR1, _SIGTERM, _SIGPWR = 10, 15, 30
_HALT = 34 + 3  # SIGRTMIN+3: systemd's
_INITCTL = "run/initctl"
_MAGIC, _RUNLEVEL = 0x03091969, 1  # struct init_request of sysvinit's initreq.h
_REQUEST = 384  # bytes
_PATIENCE = 2.0  # s from its start, until an init has got so far that it can be asked


class Machine:
    """The supervisor's: whether a reboot starts it anew, and what it makes of signals."""

    __slots__ = ("_last", "process")

    def __init__(self) -> None:
        self.process: Process | None = None
        self._last = False

    def take(self, number: int) -> None:
        """A forwarded signal. SIGUSR1, from `no_more`: it is somebody else who asks."""
        self._last = True
        if number != _SIGUSR1 and self.process:
            ask(self.process.pid, self.process.pidfd)

    def ended(self, status: int) -> int:
        """The exit status: 0 after a halt, a poweroff, or a reboot after which nothing was to start any more."""
        assert self.process
        return 0 if boot.halted(self.process) or boot.wants_again(self.process) else status

    @property
    def goes_on(self) -> bool:
        return bool(self.process and boot.wants_again(self.process) and not self._last)


def no_more(record: "dict[str, Any]", watch: "Watch") -> None:
    """Tell the supervisor that the next end is the last, whatever the init calls it."""
    try:
        pidfd = os.pidfd_open(record["supervisor"])
    except ProcessLookupError:
        return
    try:
        if not watch.ended():  # so the number is its own still
            send_signal(pidfd, _SIGUSR1)
    finally:
        os.close(pidfd)


def ask(pid: int, pidfd: int) -> None:
    """Ask an init to halt: as systemd is asked, or sysvinit; else with SIGPWR, if it knows that, or SIGTERM."""
    try:
        end = int(began(pid)) / os.sysconf("SC_CLK_TCK") + _PATIENCE
    except (FileNotFoundError, ProcessLookupError):
        return
    while True:
        if takes(pid, _HALT):
            try:
                send_signal(pidfd, _HALT)
            except ProcessLookupError:
                pass
            return
        if _request_halt(pid):
            return
        if time.clock_gettime(time.CLOCK_BOOTTIME) > end:
            break
        time.sleep(0.005)
    deliver(pid, pidfd, _SIGPWR if takes(pid, _SIGPWR) else _SIGTERM)


def _request_halt(pid: int) -> bool:
    """Ask sysvinit for runlevel 0. The path is the container's own: only a pipe that somebody reads is written to."""
    try:
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        pipe = open_inside(root, _INITCTL, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return False
    finally:
        os.close(root)
    try:
        if not stat.S_ISFIFO(os.fstat(pipe).st_mode):
            return False
        request = packed(4, _MAGIC, _RUNLEVEL, ord("0"), 0).ljust(_REQUEST, b"\0")
        return os.write(pipe, request) == _REQUEST
    except OSError:
        return False
    finally:
        os.close(pipe)
