"""One more process in a sandbox that runs already, as bounded as the first.

It is cloned into the sandbox's cgroup and pid namespace, and joins the other namespaces itself. From there to its exec
it is still Python, so nothing inside may look into it: it is not dumpable, and its memory belongs to the outer user
namespace, whose SYS_PTRACE nobody inside has (ptrace(2), "access mode checking"). What it executes is a `hop`.

Its parent is neither the sandbox's first process, which could not tell us its status, nor we, but a keeper between: it
lives on when we are killed, to kill and bury the one inside. As a zombie that belongs to the host's init, which in some
containers buries nobody, that would hold up the end of the sandbox's pid namespace for ever.
"""

import _socket
import os
import select

from treesmith.errors import Error
from treesmith.linux.call import packed
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
    send_signal,
    setns,
)  # fmt: skip
from treesmith.sandbox import cgroup, child, command, filters, hop, privileges, pty, signals, user
from treesmith.sandbox.process import Process
from treesmith.sandbox.start import begun, finish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from treesmith.sandbox.filters import Filters
    from treesmith.sandbox.sandbox import Sandbox

_SIGKILL = 9
_OTHERS = NEWUSER | NEWNS | NEWNET | NEWIPC | NEWUTS | NEWCGROUP


def enter(pid: int, pidfd: int, grouped: bool, sandbox: "Sandbox", stdio: "tuple[int, int, int] | None") -> Process:
    """Start sandbox.command beside the first process, whose `pid` and `pidfd` these are, with `sandbox`'s env, user,
    chdir, tty and bounds; all else is as it was made. grouped: it has a cgroup of its own.

    It dies with us; what it has left in the background stays. Signals and errors: as `start`.
    """
    return begun("it cannot be entered", lambda process: _enter(pid, pidfd, grouped, sandbox, stdio, process))


def _enter(
    pid: int,
    pidfd: int,
    grouped: bool,
    sandbox: "Sandbox",
    stdio: "tuple[int, int, int] | None",
    process: Process,
) -> None:
    allowed = filters.find(sandbox)
    prctl(PR_SET_DUMPABLE, 0)  # before the clone: no moment without
    with open(f"/proc/{pid}/uid_map") as file:
        owner = int(file.read().split()[1])
    for fd in stdio or ():
        if os.fstat(fd).st_mode & 0o170000 == 0o010000:
            os.fchown(fd, owner, owner)
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    hears, tells = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    opened = [hop.open(), cgroup.of(pid) if grouped else -1, os.pidfd_open(os.getpid())]
    executable, leaf, caller = opened
    folders = _limits(pid)
    try:
        process.keeper = os.fork()
        if not process.keeper:
            ours.close()
            work = lambda: _run(pidfd, sandbox, allowed, stdio, theirs, executable)  # noqa: E731
            _keep(pidfd, leaf, caller, tells, work)
    finally:
        for fd in opened:
            if fd >= 0:
                os.close(fd)
    theirs.close()
    tells.close()
    packet, ancillary, _, _ = hears.recvmsg(65536, 64, _socket.MSG_CMSG_CLOEXEC)
    if not ancillary:
        raise child.heard(packet) if packet else Error("it cannot be entered", "its keeper died")
    process.pid, process.pidfd = int(packet), int.from_bytes(ancillary[0][2][:4], "little")
    hears.close()
    for folder in folders:
        with open(f"{folder}/cgroup.procs", "w") as file:
            file.write(str(process.pid))
    finish(ours, process)


def _limits(pid: int) -> "list[str]":
    """The cgroups of the sandbox's limits that are in hierarchies of their own."""
    with open(f"/proc/{pid}/cgroup") as file:
        if not any(cgroup.PREFIX in line and not line.startswith("0::") for line in file.read().splitlines()):
            return []
    from treesmith.sandbox import enforce

    return enforce.joined(pid)


def _keep(pidfd: int, leaf: int, caller: int, tells: "_socket.socket", work: "Callable[[], None]") -> None:
    """The keeper. Never returns: above us stand our caller's frames. In a session of its own nobody meets it who stops
    or kills all that a terminal runs. `caller`: a pidfd of whom it works for."""
    status = child.OURS
    try:
        try:
            os.setsid()
            setns(pidfd, NEWPID)  # for its children alone
            pid = _cloned(leaf)
            if not pid:
                work()
            own = os.pidfd_open(pid)
            tells.sendmsg([str(pid).encode()], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed(4, own))])
            _close_all_but(own, caller)
            poll = select.poll()
            poll.register(own, select.POLLIN)
            poll.register(caller, select.POLLIN)
            if own not in dict(poll.poll()):
                send_signal(own, _SIGKILL)
            ended = os.waitpid(pid, 0)[1]
            status = 128 + os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else os.WEXITSTATUS(ended)
        except BaseException as error:
            tells.send(child.told(error))
    finally:
        os._exit(status)


def _cloned(leaf: int) -> int:
    try:
        return clone3(0, leaf if leaf >= 0 else None)
    except PermissionError as error:  # without root: cgroup-v2.rst, "Delegation Containment"
        why = "who is in our cgroup may not go over to the container's"
        hint = "from the cgroup that it was launched in: systemd-run --user --scope treesmith enter …"
        raise Error("it cannot be entered from here", why, hint) from error


def _close_all_but(*kept: int) -> None:
    """So that pipes end when those end who use them."""
    first = 0
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, 0x7FFFFFFF)


def _run(
    pidfd: int,
    sandbox: "Sandbox",
    allowed: "Filters",
    stdio: "tuple[int, int, int] | None",
    talk: "_socket.socket",
    executable: int,
) -> None:
    """Never returns, whatever happens."""
    try:
        try:
            signals.defaults()
            _become(pidfd, sandbox, allowed, stdio, talk, executable)
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
    executable: int,
) -> None:
    emulated = command.emulates()
    setns(pidfd, _OTHERS if sandbox.private_users else _OTHERS & ~NEWUSER)  # our own user namespace is EINVAL
    privileges.become_root(sandbox.private_users)
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    account = user.look_up(root, sandbox.user)
    terminal = _terminal(root, sandbox.tty) if sandbox.tty else None
    try:
        where = open_inside(root, sandbox.chdir, os.O_PATH | os.O_DIRECTORY, resolve=IN_ROOT | NO_MAGICLINKS)
    except OSError as error:
        raise Error(f"{sandbox.chdir} of the tree cannot be the working directory", error.strerror or "") from error
    os.fchdir(where)
    path, argv, environment = child.ready(sandbox, allowed, account, terminal, stdio, talk, emulated)
    os.execve(executable, hop.argv(path, argv), environment)


def _terminal(root: int, size: "tuple[int, int]") -> "tuple[int, int]":
    """Its devpts is where we mounted it, unless somebody with SYS_ADMIN inside has put another one there."""
    pts = open_inside(root, "dev/pts", os.O_PATH | os.O_DIRECTORY, resolve=IN_ROOT | NO_SYMLINKS)
    return pty.make(pts, size)
