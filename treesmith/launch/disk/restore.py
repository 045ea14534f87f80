"""Starting a sandbox with what was frozen to disk in it: the counterpart of `sandbox.start`.

CRIU makes the processes with namespaces of their own, and waits before it mounts anything. Then we make the root in
there, as for a launch, and CRIU takes its mounts from it, but for those that keep something: the tmpfs. When all
processes are as they were, before they run, CRIU waits again, and we hold them up until it has come to a good end.
"""

import _socket
import os
import select

from treesmith import ids
from treesmith.errors import Error
from treesmith.launch.disk import criu, images
from treesmith.linux.call import AT_FDCWD
from treesmith.linux.mount import NODEV, NOSUID, PRIVATE, move_mount, new_mount, set_attributes
from treesmith.linux.process import (
    NEWCGROUP,
    NEWIPC,
    NEWNET,
    NEWNS,
    NEWPID,
    NEWUSER,
    NEWUTS,
    PR_SET_PDEATHSIG,
    clone3,
    prctl,
    setns,
    unshare,
)  # fmt: skip
from treesmith.sandbox import cgroup, child, devices, init, loopback, privileges, signals
from treesmith.sandbox.process import Process
from treesmith.sandbox.root import Brought
from treesmith.sandbox.start import begun, grouped, hear, idmap, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from treesmith.sandbox.sandbox import Sandbox

_FAILURE = "it could not be restored"
_SIGKILL = 9
_ROOM = "/run"  # the root is made below; not /tmp, where CRIU has its own
_SCRIPT = "/tmp/script"
_OTHERS = NEWUSER | NEWNS | NEWNET | NEWIPC | NEWUTS
_ASK = """#!/bin/sh
case $CRTOOLS_SCRIPT_ACTION in setup-namespaces | pre-resume)
    echo "$CRTOOLS_INIT_PID" >/proc/$PPID/fd/1 && read -r go </proc/$PPID/fd/0 ;;
esac
"""


def restore(
    sandbox: "Sandbox",
    stdio: "tuple[int, int, int]",
    folder: str,
    state: "dict[str, Any]",
    commit: "Callable[[], None]",
) -> Process:
    """folder: of the images. commit: called when all is there, and about to run. Signals and errors: as `start`."""
    return begun(_FAILURE, lambda process: _restore(process, sandbox, stdio, folder, state, commit))


def _restore(
    process: Process,
    sandbox: "Sandbox",
    stdio: "tuple[int, int, int]",
    folder: str,
    state: "dict[str, Any]",
    commit: "Callable[[], None]",
) -> None:
    process.made.notes = sandbox.notes
    process.ids = ids.allocate()
    leaf = grouped(process, process.ids.first, sandbox.tree)
    program, log = init.memory("init"), os.memfd_create("criu", os.MFD_CLOEXEC)
    (asks, asking), (answered, answers) = pipes = os.pipe(), os.pipe()
    work = 0
    try:
        if leaf < 0 or not devices.control(leaf):
            raise Error(_FAILURE, "this machine lets nobody make a cgroup for it and control its devices")
        _map(folder, process.ids)
        _fill(program, f"{folder}/{images.NAME}")
        for fd in stdio:
            os.fchown(fd, process.ids.first + state["owner"], process.ids.first)
        work = clone3(0, leaf)
        if not work:
            _execute(folder, state, program, stdio, (answered, asking, log))
        if pid := _asked(asks, work):  # else CRIU has ended
            process.pid = int(pid)
            process.pidfd = os.pidfd_open(process.pid)
            note(process, sandbox.tree)
            _move_out(work)
            _make_root(sandbox, process, leaf)
            os.write(answers, b"go\n")
        if pid and _asked(asks, work):
            if not cgroup.freeze(process.cgroup, True):
                raise Error(_FAILURE, "it does not stand still")
            os.write(answers, b"go\n")
        status = os.waitpid(work, 0)[1]
        work = 0
        criu.judge(_FAILURE, "restore", status, log)
        commit()
        cgroup.freeze(process.cgroup, False)
    except BaseException:
        if process.cgroup:
            cgroup.kill(process.cgroup)  # before CRIU, at whose end it would run
        if work:
            os.kill(work, _SIGKILL)
            os.waitpid(work, 0)
        raise
    finally:
        for fd in (leaf, program, log, *pipes[0], *pipes[1]):
            if fd >= 0:
                os.close(fd)


def _asked(asks: int, work: int) -> bytes:
    """The first process's pid, as CRIU's script says it; nothing if CRIU ends."""
    ended = os.pidfd_open(work)
    poll = select.poll()
    poll.register(asks, select.POLLIN)
    poll.register(ended, select.POLLIN)
    ready = dict(poll.poll())
    os.close(ended)
    return os.read(asks, 64) if asks in ready else b""


def _map(folder: str, ours: ids.Ids) -> None:
    """The ids are others now."""
    for name in os.listdir(folder):
        if name.startswith(images.USERNS):
            os.unlink(f"{folder}/{name}")  # it may have another name in another tree
            with open(f"{folder}/{name}", "xb") as file:
                file.write(images.userns(ours.first, ours.count))


def _fill(program: int, path: str) -> None:
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    init.copy(source, program)
    os.close(source)


def _execute(
    folder: str, state: "dict[str, Any]", program: int, stdio: "tuple[int, int, int]", own: "tuple[int, int, int]"
) -> None:
    """In the child, in the sandbox's cgroup. Never returns."""
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, _SIGKILL)
        signals.defaults()
        unshare(NEWCGROUP)
        privileges.join_keyring()
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        _private_tmp()
        with open(_SCRIPT, "x") as file:
            file.write(_ASK)
        os.chmod(_SCRIPT, 0o755)
        handed = {program: images.NAME, **dict(zip(stdio, state["pipes"], strict=True))}
        argv = [
            "criu", "restore", "--restore-detached", "--restore-sibling", "--images-dir", f"/proc/self/fd/{place}",
            "--work-dir", os.path.dirname(_SCRIPT), "--action-script", _SCRIPT, "--root", f"{_ROOM}/0.root",
            *criu.KEPT,
            *(f"--inherit-fd=fd[{fd}]:{name}" for fd, name in handed.items()),
            *(f"--external=mnt[{path}]:{_ROOM}/0.root{path}" for path in state["external"]),
        ]  # fmt: skip
        for fd in (place, *handed):
            os.set_inheritable(fd, True)
        for number, fd in enumerate(own):
            os.dup2(fd, number)
        os.execvp(argv[0], argv)
    finally:
        os._exit(child.OURS)


def _private_tmp() -> None:
    """CRIU, killed, leaves a folder in /tmp."""
    unshare(NEWNS)
    top = os.open("/", os.O_PATH | os.O_CLOEXEC)
    set_attributes(top, 0, propagation=PRIVATE, recursive=True)
    move_mount(new_mount("tmpfs", NOSUID | NODEV, (("mode", "1777"),)), AT_FDCWD, os.path.dirname(_SCRIPT))


def _move_out(work: int) -> None:
    """CRIU goes back to our own cgroup: it is not held up with the others."""
    own = cgroup.of(os.getpid())
    procs = os.open("cgroup.procs", os.O_WRONLY | os.O_CLOEXEC, dir_fd=own)
    os.write(procs, str(work).encode())
    os.close(procs)
    os.close(own)


def _make_root(sandbox: "Sandbox", process: Process, leaf: int) -> None:
    userns = os.open(f"/proc/{process.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    idmap(sandbox.view, userns)
    os.close(userns)
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    keeper = os.fork()
    if not keeper:
        try:
            setns(process.pidfd, NEWPID)  # for its children: a /proc is of whose who mounts it
            pid = clone3(0, leaf)
            if not pid:
                _root(sandbox, process.pidfd, theirs)
            os.waitpid(pid, 0)
        finally:
            os._exit(0)
    theirs.close()
    try:
        said, _ = hear(ours, process)
    finally:
        ours.close()
        os.waitpid(keeper, 0)
    if said != child.READY:
        raise child.heard(said) if said else Error(_FAILURE, "its root could not be made")


def _root(sandbox: "Sandbox", pidfd: int, talk: "_socket.socket") -> None:
    try:
        setns(pidfd, _OTHERS)
        privileges.become_root(True)
        unshare(NEWCGROUP)
        loopback.up()
        child.rooted(sandbox, Brought([], sandbox.files, -1), talk, _ROOM)
        talk.send(child.READY)
    except BaseException as error:
        talk.send(child.told(error))
    finally:
        os._exit(0)
