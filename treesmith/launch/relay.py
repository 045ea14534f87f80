"""Copying between our descriptors 0 to 2 and a container's, until it is gone and everything that it wrote is out."""

import errno
import os
import select
import sys

from treesmith.sandbox.boot import says_ready

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from treesmith.sandbox.process import Process

_CHUNK = 65536
_GONE = select.POLLHUP | select.POLLERR
_END_OF_TRANSMISSION = b"\x04"  # what ends the input of a terminal (termios(3), VEOF)


class Flow:
    """One direction. `source` and `target` are descriptors; `ours` of them are closed at its end."""

    __slots__ = ("_ended", "_last", "buffer", "end", "ours", "source", "target")

    def __init__(self, source: int, target: int, ours: "tuple[int, ...]", end: bytes = b"") -> None:
        self.source = source
        self.target = target
        self.ours = ours
        self.end = end  # what tells a terminal that the input has ended
        self._last = b"\n"
        self.buffer = b""
        self._ended = False

    @property
    def done(self) -> bool:
        return self._ended and not self.buffer

    @property
    def waits(self) -> "tuple[int, int]":
        """The descriptor that it can do nothing without, and the event."""
        return (self.target, select.POLLOUT) if self.buffer else (self.source, select.POLLIN)

    def step(self) -> None:
        """Read or write, whichever poll said would not block."""
        if self.buffer:
            self._write()
            return
        try:
            self.buffer = os.read(self.source, _CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal whose other side is gone
                raise
        if not self.buffer:  # on an unfinished line the first only ends the line
            self._ended, self.buffer = True, self.end * (1 if self._last == b"\n" else 2)
        self._last = self.buffer[-1:]
        if self.buffer:
            self._write()

    def _write(self) -> None:
        try:
            self.buffer = self.buffer[os.write(self.target, self.buffer) :]
        except BlockingIOError:
            return
        except OSError as error:
            self._ended, self.buffer = True, b""
            # EPIPE, EIO: nobody reads any more. The source closes with us, so whoever writes there learns of it.
            if error.errno not in (errno.EPIPE, errno.EIO):
                sys.stderr.write(f"treesmith: output lost: {error.strerror}\n")

    def close(self) -> None:
        for fd in self.ours:
            os.close(fd)
        self.ours = ()


def own(fd: int, flags: int) -> int:
    """Our own opening of the pipe or terminal `fd`, which never blocks; `fd` where there can be none (socket, file).

    O_NONBLOCK belongs to the open file, which we share with whoever started us.
    """
    if os.fstat(fd).st_mode & 0o170000 not in (0o010000, 0o020000):
        return fd
    try:
        return os.open(f"/proc/self/fd/{fd}", flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return fd


def through_pipes(ends: "tuple[int, int, int]") -> "list[Flow]":
    """`ends`: ours of the pipes that are the container's stdin, stdout and stderr."""
    os.set_blocking(ends[0], False)
    flows = [_out(ends[1], 1), _out(ends[2], 2)]
    stdin = own(0, os.O_RDONLY)
    return [Flow(stdin, ends[0], (ends[0], *_new(stdin, 0))), *flows]


def through_terminal(master: int, lasting: bool = False) -> "list[Flow]":
    """lasting: the terminal outlives our input, as a console does."""
    os.set_blocking(master, False)
    stdin, stdout = own(0, os.O_RDONLY), own(1, os.O_WRONLY)
    end = b"" if lasting or os.isatty(0) else _END_OF_TRANSMISSION
    return [Flow(stdin, master, _new(stdin, 0), end), Flow(master, stdout, _new(stdout, 1))]


def _out(source: int, number: int) -> Flow:
    target = own(number, os.O_WRONLY)
    return Flow(source, target, (source, *_new(target, number)))


def _new(fd: int, given: int) -> "tuple[int, ...]":
    return (fd,) if fd != given else ()


def relay(flows: "list[Flow]", process: "Process", ready: "Callable[[], None] | None" = None) -> int:
    """Until `process` is gone and what it wrote is out. `flows`: stdin first. Returns its exit status.

    ready: called when it says that it is.
    """
    stdin = flows[0]
    status: int | None = None
    try:
        while status is None or flows:
            events = {process.pidfd: select.POLLIN} if status is None else {}
            if process.notify >= 0 and status is None:  # to its end: a full socket would stop whoever writes to it
                events[process.notify] = select.POLLIN
            for flow in flows:
                fd, event = flow.waits
                events[fd] = events.get(fd, 0) | event  # a pty's master is both source and target
            poll = select.poll()
            for fd, event in events.items():
                poll.register(fd, event)
            # Once it is gone nobody writes any more: what is not there to be read will never be.
            found = dict(poll.poll(None if status is None or any(flow.buffer for flow in flows) else 0))
            if not found:
                break
            if status is None and process.pidfd in found:
                status = process.wait()
                if flows and flows[0] is stdin:
                    flows.pop(0).close()
            if status is None and process.notify in found and says_ready(process) and ready:
                ready()
                ready = None
            for flow in [flow for flow in flows if found.get(flow.waits[0], 0) & (flow.waits[1] | _GONE)]:
                flow.step()
                if flow.done:
                    flow.close()
                    flows.remove(flow)
    finally:
        for flow in flows:
            flow.close()
    return process.wait()
