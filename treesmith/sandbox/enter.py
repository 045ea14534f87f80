"""One more process in a sandbox that runs already, as bounded as the first.

It is cloned into the sandbox's cgroup and pid namespace, and joins the other namespaces itself. From there to its exec
it is still Python, so nothing inside may look into it: it is not dumpable, and its memory belongs to the outer user
namespace, whose capabilities nobody inside has (ptrace(2), "access mode checking"). A hostile command may name
/proc/self/exe as its interpreter and so be given our interpreter's file: to read, as the ids of that file are nobody's.
"""

import _socket
import os

from treesmith.errors import Error
from treesmith.linux.file import IN_ROOT, NO_MAGICLINKS, NO_SYMLINKS, open_inside
from treesmith.linux.process import (
    NEWCGROUP,
    NEWIPC,
    NEWNET,
    NEWNS,
    NEWPID,
    NEWUSER,
    NEWUTS,
    PR_SET_DUMPABLE,
    clone3,
    prctl,
    setns,
)  # fmt: skip
from treesmith.sandbox import cgroup, child, command, filters, privileges, pty, signals, user
from treesmith.sandbox.command import CANNOT_RUN, NOT_FOUND
from treesmith.sandbox.process import Process
from treesmith.sandbox.start import finish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.sandbox.filters import Filters
    from treesmith.sandbox.sandbox import Sandbox

_OTHERS = NEWUSER | NEWNS | NEWNET | NEWIPC | NEWUTS | NEWCGROUP


def enter(pid: int, pidfd: int, sandbox: "Sandbox", stdio: "tuple[int, int, int] | None") -> Process:
    """Start sandbox.command beside the first process, whose `pid` and `pidfd` these are, with `sandbox`'s env, user,
    chdir, tty and bounds; all else is as it was made. Afterwards we can start nothing outside any more.

    It dies with us; what it has left in the background stays. Signals and errors: as `start`.
    """
    process = Process(signals.block())
    try:
        _enter(pid, pidfd, sandbox, stdio, process)
    except BaseException as error:
        process.close()
        if isinstance(error, OSError):
            where = f"{error.filename}: " if error.filename else ""
            raise Error("it cannot be entered", f"{where}{error.strerror}", status=child.OURS) from error
        if isinstance(error, Error) and error.status not in (CANNOT_RUN, NOT_FOUND):
            error.status = child.OURS
        raise
    return process


def _enter(pid: int, pidfd: int, sandbox: "Sandbox", stdio: "tuple[int, int, int] | None", process: Process) -> None:
    allowed = filters.find(sandbox)
    prctl(PR_SET_DUMPABLE, 0)  # before the clone: no moment without
    with open(f"/proc/{pid}/uid_map") as file:
        owner = int(file.read().split()[1])
    for fd in stdio or ():
        if os.fstat(fd).st_mode & 0o170000 == 0o010000:
            os.fchown(fd, owner, owner)
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    leaf = cgroup.of(pid)
    folders = _limits(pid)
    try:
        setns(pidfd, NEWPID)  # for our children alone
        process.pid = clone3(0, leaf if leaf >= 0 else None)
    finally:
        if leaf >= 0 and process.pid:
            os.close(leaf)
    if not process.pid:
        ours.close()
        _run(pidfd, sandbox, allowed, stdio, theirs)
    for folder in folders:
        with open(f"{folder}/cgroup.procs", "w") as file:
            file.write(str(process.pid))
    process.pidfd = os.pidfd_open(process.pid)
    theirs.close()
    finish(ours, process)


def _limits(pid: int) -> "list[str]":
    """The cgroups of the sandbox's limits that are in hierarchies of their own."""
    with open(f"/proc/{pid}/cgroup") as file:
        if not any(cgroup.PREFIX in line and not line.startswith("0::") for line in file.read().splitlines()):
            return []
    from treesmith.sandbox import enforce

    return enforce.joined(pid)


def _run(
    pidfd: int,
    sandbox: "Sandbox",
    allowed: "Filters",
    stdio: "tuple[int, int, int] | None",
    talk: "_socket.socket",
) -> None:
    """Never returns, whatever happens."""
    try:
        try:
            signals.defaults()
            _become(pidfd, sandbox, allowed, stdio, talk)
        except BaseException as error:
            talk.send(child.told(error))
    finally:
        os._exit(child.OURS)


def _become(
    pidfd: int,
    sandbox: "Sandbox",
    allowed: "Filters",
    stdio: "tuple[int, int, int] | None",
    talk: "_socket.socket",
) -> None:
    setns(pidfd, _OTHERS)
    privileges.become_root()
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    account = user.look_up(root, sandbox.user)
    terminal = _terminal(root, sandbox.tty) if sandbox.tty else None
    try:
        where = open_inside(root, sandbox.chdir, os.O_PATH | os.O_DIRECTORY, resolve=IN_ROOT | NO_MAGICLINKS)
    except OSError as error:
        raise Error(f"{sandbox.chdir} of the tree cannot be the working directory", error.strerror or "") from error
    os.fchdir(where)
    argv, environment = child.ready(sandbox, allowed, account, terminal, stdio, talk)
    command.execute(argv, environment)


def _terminal(root: int, size: "tuple[int, int]") -> "tuple[int, int]":
    """Its devpts is where we mounted it, unless somebody with SYS_ADMIN inside has put another one there."""
    pts = open_inside(root, "dev/pts", os.O_PATH | os.O_DIRECTORY, resolve=IN_ROOT | NO_SYMLINKS)
    return pty.make(pts, size)
