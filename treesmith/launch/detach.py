"""A supervisor in the background: a process of its own session, which tells its caller how the start went, once."""

import os
import sys

from treesmith.errors import Error
from treesmith.sandbox import child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_STARTED = b"started\0"


class Caller:
    """Who waits for a start, as seen from the background."""

    __slots__ = ("_told", "waits")

    def __init__(self, told: int) -> None:
        self._told = told
        self.waits = True

    def started(self, name: str) -> None:
        """Let it go. BrokenPipeError: it does not wait any more."""
        os.write(self._told, _STARTED + os.fsencode(name))
        self.waits = False
        os.close(self._told)

    def failed(self, error: BaseException) -> None:
        os.write(self._told, child.told(error))


def write_to(log: int) -> None:
    """From now on stdout and stderr are this descriptor."""
    sys.stderr.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)


def detach(work: "Callable[[Caller], object]") -> str:
    """Run `work(caller)` in the background until `caller.started(name)` is called there: the name. An Error before that
    is raised here."""
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
