"""A supervisor in the background: a process of its own session, which tells its caller how the start went, once."""

import os
import sys

from treesmith.errors import Error
from treesmith.launch import kept
from treesmith.sandbox import child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_STARTED = b"started\0"


class Caller:
    """Who waits for a start, as seen from the background; and what is kept for him of the container, by its record."""

    __slots__ = ("_log", "_told", "waits")

    def __init__(self, told: int) -> None:
        self._told = told
        self._log = -1
        self.waits = True

    def begin(self, record: "dict[str, Any]") -> None:
        """Before anything is started."""
        self._log = kept.begin(record)

    def divert(self) -> None:
        """From now on, after the first start, what we write goes to the log."""
        if self.waits:
            sys.stderr.flush()
            os.dup2(self._log, 1)
            os.dup2(self._log, 2)

    def started(self, record: "dict[str, Any]") -> None:
        """Let him go. BrokenPipeError: he does not wait any more."""
        kept.write(record)
        os.write(self._told, _STARTED + os.fsencode(record["name"]))
        self.waits = False
        os.close(self._told)

    def missed(self, record: "dict[str, Any]") -> None:
        """It was not started, or it came to grief: what is kept of what never started is of no use to anybody."""
        if self.waits:
            kept.discard(record)

    def failed(self, error: BaseException) -> None:
        os.write(self._told, child.told(error))

    def ended(self, record: "dict[str, Any]", status: int) -> None:
        kept.end(record, status)


def detach(work: "Callable[[Caller], object]") -> str:
    """Run `work(caller)` in the background until `caller.started` is called there: the container's name. An Error
    before that is raised here."""
    for stream in (sys.stdout, sys.stderr):
        if stream:
            stream.flush()
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        _background(work, theirs)
    os.close(theirs)
    try:
        said = b""
        while part := os.read(ours, 65536):
            said += part
    finally:
        os.close(ours)
    if said.startswith(_STARTED):
        return os.fsdecode(said.removeprefix(_STARTED))
    os.waitpid(pid, 0)
    if said:
        raise child.heard(said)
    raise Error("the container could not be started", "its supervisor died", status=child.OURS)


def _background(work: "Callable[[Caller], object]", told: int) -> None:
    """Never returns: above us stand the caller's frames."""
    caller = Caller(told)
    try:
        os.setsid()
        os.closerange(3, told)
        os.closerange(told + 1, 0x7FFFFFFF)
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.close(null)
        os.chdir("/")
        work(caller)
    except BaseException as error:
        if caller.waits:
            caller.failed(error)
        else:
            os.write(2, f"treesmith: {error}\n".encode())
    finally:
        os._exit(0)
