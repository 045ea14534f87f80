"""A supervisor in the background: a process of its own session, which tells its caller how the start went, once."""

import os
import sys

from treesmith.errors import Error
from treesmith.sandbox import child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_STARTED = b"started\0"


def detach(work: "Callable[[Callable[[str, int], None]], object]") -> str:
    """Run `work(started)` in the background until `started(name, log)` is called there: the name.

    From then on what it writes goes to the descriptor `log`. An Error before that is raised here. If nobody waits any
    more, `started` raises BrokenPipeError.
    """
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


def _background(work: "Callable[[Callable[[str, int], None]], object]", told: int) -> None:
    """Never returns: above us stand the caller's frames."""
    waiting = True

    def started(name: str, log: int) -> None:
        nonlocal waiting
        sys.stderr.flush()
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.write(told, _STARTED + os.fsencode(name))
        waiting = False
        os.close(told)

    try:
        os.setsid()
        os.closerange(3, told)
        os.closerange(told + 1, 0x7FFFFFFF)
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.close(null)
        os.chdir("/")
        work(started)
    except BaseException as error:
        if waiting:
            os.write(told, child.told(error))
        else:
            os.write(2, f"treesmith: {error}\n".encode())
    finally:
        os._exit(0)
