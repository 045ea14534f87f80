"""Starting a sandbox with what was frozen to disk in it: the counterpart of `sandbox.start`.

CRIU makes the processes with namespaces of their own, and waits before it mounts anything. Then we make the root in
there, as for a launch, and hand CRIU all of its mounts; its own are only those that keep something, the tmpfs.
"""

import _socket
import os
import select

from treesmith import ids
from treesmith.errors import Error
from treesmith.launch.disk import criu, images
from treesmith.linux.call import AT_FDCWD
from treesmith.linux.mount import NODEV, NOSUID, PRIVATE, move_mount, new_mount, open_tree, set_attributes
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
from treesmith.sandbox.start import hear, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from treesmith.sandbox.sandbox import Sandbox

_SIGKILL = 9
_ROOM = "/run"  # the root is made below; not /tmp, where CRIU has its own
_IMAGES = "/tmp/images"
_OTHERS = NEWUSER | NEWNS | NEWNET | NEWIPC | NEWUTS
_TOLD = b"setup-namespaces", b"pre-resume"
_SCRIPT = """#!/bin/sh
case $CRTOOLS_SCRIPT_ACTION in
    setup-namespaces | pre-resume) ;;
    *) exit 0 ;;
esac
echo "$CRTOOLS_SCRIPT_ACTION $CRTOOLS_INIT_PID" >"$CRTOOLS_IMAGE_DIR/asks"
read -r answer <"$CRTOOLS_IMAGE_DIR/answers"
[ "$answer" = go ]
"""


def restore(
    sandbox: "Sandbox",
    stdio: "tuple[int, int, int]",
    folder: str,
    state: "dict[str, Any]",
    commit: "Callable[[], None]",
) -> Process:
    """`folder`: of the images, in which files are made. `commit`: called when all is there, but does not run yet.

    Signals and errors: as `start`.
    """
    process = Process(signals.block())
    try:
        _restore(sandbox, stdio, folder, state, commit, process)
    except BaseException as error:
        process.close()
        if isinstance(error, OSError):
            where = f"{error.filename}: " if error.filename else ""
            raise Error("it could not be restored", f"{where}{error.strerror}", status=child.OURS) from error
        if isinstance(error, Error):
            error.status = child.OURS
        raise
    return process


def _restore(
    sandbox: "Sandbox",
    stdio: "tuple[int, int, int]",
    folder: str,
    state: "dict[str, Any]",
    commit: "Callable[[], None]",
    process: Process,
) -> None:
    process.made.notes = sandbox.notes
    process.ids = ids.allocate()
    place = cgroup.place(process.ids.slot)
    process.ids.note("\n".join([place, sandbox.tree, ""]))
    process.cgroup = cgroup.base() + place
    leaf = cgroup.make(process.cgroup, process.ids.first) if place else -1
    program = init.memory("init")
    talk = _Talk(folder)
    try:
        if leaf < 0 or not devices.control(leaf):
            raise Error("it could not be restored", "this machine lets nobody make a cgroup and control its devices")
        _furnish_images(folder, process.ids)
        binary = init.find()
        init.copy(binary, program)
        os.close(binary)
        for fd in stdio:
            os.fchown(fd, process.ids.first, process.ids.first)
        work = clone3(0, leaf)
        if not work:
            _execute(folder, state, program, stdio)
        try:
            process.pid = talk.asked(work, _TOLD[0])
            process.pidfd = os.pidfd_open(process.pid)
            note(process, sandbox.tree)
            _make_root(sandbox, process, leaf)
            talk.answer()
            talk.asked(work, _TOLD[1])
            commit()
            talk.answer()
        finally:
            if not talk.done:
                os.kill(work, _SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(work, 0)[1])
        if status:
            raise Error("it could not be restored", f"criu ended with status {status}")
    except _EndedError:
        raise criu.failed("it could not be restored", criu.read(f"{folder}/restore.log"), 1) from None
    finally:
        talk.close()
        os.close(program)
        if leaf >= 0:
            os.close(leaf)


def _furnish_images(folder: str, ours: ids.Ids) -> None:
    """The ids are others now."""
    for name in os.listdir(folder):
        if name.startswith("userns-"):
            with open(f"{folder}/{name}", "rb") as file:
                image = file.read()
            os.unlink(f"{folder}/{name}")  # it has another name still, where it must not change
            with open(f"{folder}/{name}", "xb") as file:
                file.write(images.mapped(image, ours.first, ours.count))
            os.chmod(f"{folder}/{name}", 0o644)


def _execute(folder: str, state: "dict[str, Any]", program: int, stdio: "tuple[int, int, int]") -> None:
    """In the child, in its cgroup. Never returns."""
    try:
        prctl(PR_SET_PDEATHSIG, _SIGKILL)
        signals.defaults()
        unshare(NEWCGROUP)
        privileges.join_keyring()
        _private_tmp(folder)
        words = ["restore", "--restore-detached", "--restore-sibling", "--images-dir", _IMAGES, "--log-file",
                 "restore.log", "-v4", "--manage-cgroups=ignore", "--empty-ns", "net", "--root", f"{_ROOM}/0.root",
                 "--action-script", f"{_IMAGES}/script", "--inherit-fd", f"fd[{program}]:{images.NAME}"]  # fmt: skip
        for fd, pipe in zip(stdio, state["pipes"], strict=True):
            words += ["--inherit-fd", f"fd[{fd}]:{pipe}"]
        for path in state["external"]:
            words += ["--external", f"mnt[{path}]:{_ROOM}/0.root{path}"]
        for fd in (program, *stdio):
            os.set_inheritable(fd, True)
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.execvp("criu", ["criu", *words])
    finally:
        os._exit(child.OURS)


def _private_tmp(folder: str) -> None:
    """CRIU, killed, leaves a folder in /tmp: in one of its own, where the images are, too."""
    unshare(NEWNS)
    top = os.open("/", os.O_PATH | os.O_CLOEXEC)
    set_attributes(top, 0, propagation=PRIVATE, recursive=True)
    same = open_tree(folder)
    move_mount(new_mount("tmpfs", NOSUID | NODEV, (("mode", "1777"),)), AT_FDCWD, os.path.dirname(_IMAGES))
    os.mkdir(_IMAGES)
    move_mount(same, AT_FDCWD, _IMAGES)


class _EndedError(Exception):
    """CRIU has, instead of asking."""


class _Talk:
    """CRIU's script asks, and waits for an answer."""

    def __init__(self, folder: str) -> None:
        self.done = False
        with open(f"{folder}/script", "x") as file:
            file.write(_SCRIPT)
        os.chmod(f"{folder}/script", 0o700)
        for name in ("asks", "answers"):
            os.mkfifo(f"{folder}/{name}", 0o600)
        self._asks = os.open(f"{folder}/asks", os.O_RDWR | os.O_CLOEXEC)
        self._answers = os.open(f"{folder}/answers", os.O_RDWR | os.O_CLOEXEC)

    def asked(self, work: int, what: bytes) -> int:
        """The first process's pid, once `what` is reached. _EndedError."""
        pidfd = os.pidfd_open(work)
        try:
            poll = select.poll()
            poll.register(self._asks, select.POLLIN)
            poll.register(pidfd, select.POLLIN)
            if self._asks not in dict(poll.poll()):
                raise _EndedError
        finally:
            os.close(pidfd)
        said, pid = os.read(self._asks, 4096).split()
        if said != what:
            raise Error("it could not be restored", f"criu is at {said.decode()} before {what.decode()}")
        return int(pid)

    def answer(self) -> None:
        os.write(self._answers, b"go\n")
        self.done = True

    def close(self) -> None:
        os.close(self._asks)
        os.close(self._answers)


def _make_root(sandbox: "Sandbox", process: Process, leaf: int) -> None:
    userns = os.open(f"/proc/{process.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    sandbox.view.idmap(userns)
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
        raise child.heard(said) if said else Error("it could not be restored", "its root could not be made")


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
