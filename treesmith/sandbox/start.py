"""Starting a sandbox, from outside.

One clone3 makes the child inside all its namespaces and its cgroup at once; it waits while we, outside and with our
capabilities, write its maps and id-map its layers. It has their descriptors already: mount_setattr changes the mount,
not the descriptor. Nothing holds the user namespace but the child.
"""

import _socket
import errno
import os
import sys

import treesmith
from treesmith import ids
from treesmith.errors import Error
from treesmith.linux.mount import IDMAP, NODEV, NOEXEC, NOSUID, PRIVATE, RDONLY, open_tree, set_attributes
from treesmith.linux.process import NEWCGROUP, NEWIPC, NEWNET, NEWNS, NEWPID, NEWUSER, NEWUTS, began, clone3
from treesmith.sandbox import cgroup, child, devices, filters, hop, init, signals
from treesmith.sandbox.command import CANNOT_RUN, NOT_FOUND
from treesmith.sandbox.point import AT_ONCE
from treesmith.sandbox.process import Process
from treesmith.sandbox.root import Brought
from treesmith.sandbox.sandbox import SYS_ADMIN, UNMAPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from treesmith.sandbox.enforce import Place
    from treesmith.sandbox.sandbox import Bind, Sandbox
    from treesmith.sandbox.view import View

_NAMESPACES = NEWNS | NEWPID | NEWIPC | NEWCGROUP


def start(sandbox: "Sandbox", stdio: "tuple[int, int, int] | None" = None) -> Process:
    """Start it; `stdio`: its descriptors 0 to 2, where it has no tty. Pipes among them become its user's.

    The forwarded signals are blocked on return, and until `signals.restore(process.mask)`, or `close`.
    Error: it could not be started; its status is 127 or 126 where the command is missing or cannot be run, else 125.
    """
    return begun("the sandbox could not be made", lambda process: _start(sandbox, stdio, process))


def begun(failure: str, work: "Callable[[Process], None]") -> Process:
    """A process as `work` makes it, or nothing of it. failure: what an OSError is called."""
    process = Process(signals.block())
    try:
        work(process)
    except BaseException as error:
        process.close()
        if isinstance(error, OSError):
            where = f"{error.filename}: " if error.filename else ""
            raise Error(failure, f"{where}{error.strerror}", status=child.OURS) from error
        if isinstance(error, Error) and error.status not in (CANNOT_RUN, NOT_FOUND):
            error.status = child.OURS
        raise
    return process


def _start(sandbox: "Sandbox", stdio: "tuple[int, int, int] | None", process: Process) -> None:
    opened = _Opened()
    try:
        binary = opened.keep(-1 if sandbox.boot else init.find())
        memory = opened.keep(hop.open() if sandbox.boot else init.memory("init"))
        allowed = filters.find(sandbox)
        process.ids = ids.allocate()  # without private users it is only the slot that counts
        owner = process.ids.first if sandbox.private_users else 0
        process.made.notes = sandbox.notes
        limited = _place(process, sandbox)
        leaf = opened.keep(grouped(process, owner, sandbox.tree, limited))
        controlled = treesmith.ROOTLESS or (leaf >= 0 and devices.control(leaf))  # a user's trees have no devices
        if not controlled and SYS_ADMIN in sandbox.capabilities and not sandbox.views:
            raise Error(
                "devices cannot be kept from who may mount inside",
                "this machine lets nobody control the devices of a cgroup" if leaf >= 0 else "there is no cgroup2",
                "launch without a boot and without SYS_ADMIN",
            )
        brought = Brought([(bind, opened.keep(_open_bind(bind))) for bind in sandbox.binds], sandbox.files, -1)
        if sandbox.network == "host":
            brought.files = (*_resolver(), *sandbox.files)
            brought.sysfs = opened.keep(_host_sysfs())
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        for fd in stdio or ():
            if os.fstat(fd).st_mode & 0o170000 == 0o010000:
                os.fchown(fd, owner, owner)
        given = child.Child(sandbox, brought, stdio, theirs, memory, allowed)
        flags = _NAMESPACES | (NEWNET if sandbox.network != "host" else 0)
        flags |= (NEWUSER if sandbox.private_users else 0) | (NEWUTS if not sandbox.chroot else 0)
        process.pid = clone3(flags, leaf if leaf >= 0 else None)
        if not process.pid:
            ours.close()
            child.run(given)
        process.pidfd = os.pidfd_open(process.pid)
        process.boots = sandbox.boot
        theirs.close()
        note(process, sandbox.tree)
        if limited:
            limited.join(process.pid)
        if sandbox.private_users:
            _map(sandbox, process, brought.binds)
        if sandbox.link:
            sandbox.link.connect(process.pid)
        ours.send(child.GO)
        if not sandbox.boot:
            init.copy(binary, memory)  # while the child mounts
        finish(ours, process)
    finally:
        opened.close()


class _Opened:
    """Descriptors that are not needed after the start."""

    __slots__ = ("fds",)

    def __init__(self) -> None:
        self.fds: list[int] = []

    def keep(self, fd: int) -> int:
        if fd >= 0:
            self.fds.append(fd)
        return fd

    def close(self) -> None:
        while self.fds:
            os.close(self.fds.pop())


def _place(process: Process, sandbox: "Sandbox") -> "Place | None":
    if not sandbox.limits:
        return None
    from treesmith.sandbox import enforce  # who has no limits does not pay for it

    assert process.ids
    return enforce.place(process.ids.slot, sandbox.limits)


def grouped(process: Process, owner: int, tree: str, limited: "Place | None" = None) -> int:
    """Its cgroup, open; -1: there is none."""
    assert process.ids
    place = limited.path if limited else cgroup.place(process.ids.slot)
    process.folders = sorted(set(limited.folders.values())) if limited else []
    # Before they are made: whoever finds the lock free knows where to look.
    process.ids.note("\n".join([place, tree, "", *process.folders]))
    if not place:
        if limited:
            limited.make()
        return -1
    process.cgroup = cgroup.base() + place
    leaf = cgroup.make(process.cgroup, owner)
    if leaf < 0:
        process.cgroup = ""
    if limited:
        limited.make()
    return leaf


def note(process: Process, tree: str) -> None:
    """Where there is no cgroup, the pid and when it began are what a recovery waits for."""
    assert process.ids
    process.began = began(process.pid)
    place = process.cgroup.removeprefix(cgroup.base())  # as whoever has other mounts can use it
    process.ids.note("\n".join([place, tree, f"{process.pid} {process.began}", *process.folders]))


def _open_bind(bind: "Bind") -> int:
    try:
        if bind.overlay and not os.path.isdir(bind.source):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        mount = open_tree(bind.source, recursive=not bind.overlay)
    except OSError as error:
        raise Error(f"{bind.source} cannot be bound", error.strerror or "", "it must be there, on the host") from error
    attributes = NOSUID | NODEV | (RDONLY if bind.read_only or bind.overlay else 0)
    set_attributes(mount, attributes, propagation=PRIVATE, recursive=True)
    return mount


def _host_sysfs() -> int:
    """With the host's network a sysfs of one's own is EPERM. Not recursive: what is mounted below stays away. But to a
    user the kernel does not uncover what root has covered (mount_namespaces(7)), and he sees the same of it outside."""
    mount = open_tree("/sys", recursive=treesmith.ROOTLESS)
    set_attributes(mount, RDONLY | NOSUID | NODEV | NOEXEC, propagation=PRIVATE, recursive=True)
    return mount


def _resolver() -> "tuple[tuple[str, bytes], ...]":
    """The host's network needs the host's resolver. A file of the sandbox's own at that path lies over it."""
    try:
        with open("/etc/resolv.conf", "rb") as file:
            return (("/etc/resolv.conf", file.read()),)
    except FileNotFoundError:
        return ()


def _map(sandbox: "Sandbox", process: Process, binds: "list[tuple[Bind, int]]") -> None:
    assert process.ids
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{process.pid}/{name}", "w") as file:
            file.write(f"0 {process.ids.first} {process.ids.count}")
    userns = os.open(f"/proc/{process.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for view in (sandbox.view, *(view for view, _ in sandbox.views)) if not treesmith.ROOTLESS else ():
            idmap(view, userns)
        for bind, mount in binds:
            # Who may mount inside makes a read-only bind writable again: that must not be as the host's root.
            if bind.idmap and not (bind.read_only and SYS_ADMIN in sandbox.capabilities):
                _idmap_bind(bind, mount, userns)
    finally:
        os.close(userns)


def idmap(view: "View", userns: int) -> None:
    try:
        view.idmap(userns)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Error("the tree cannot be id-mapped", "its filesystem has no id-mapped mounts", UNMAPPED) from error


def _idmap_bind(bind: "Bind", mount: int, userns: int) -> None:
    try:
        if not treesmith.ROOTLESS:
            set_attributes(mount, IDMAP, userns=userns, recursive=True)
            return
        if bind.read_only or bind.overlay or not os.fstat(mount).st_uid:
            return  # nobody's, but to be read; or of the ids that are the same inside
        reason = "that takes root"
    except OSError as error:
        reason = f"its filesystem: {error.strerror}"
    hint = f"give it as {bind.source}:{bind.target}:noidmap: what is in it then belongs to nobody inside"
    raise Error(f"{bind.source} cannot be id-mapped", reason, hint)


def finish(ours: "_socket.socket", process: Process) -> None:
    """Hear the child out, until it has executed what it is for. Error: what it said instead."""
    packet, fds = hear(ours, process)
    if packet == child.READY:
        if len(fds) % 2:  # a terminal comes as two
            process.notify = fds.pop()
            process.holds(process.notify)
        if fds:
            process.pty = fds[0]
            process.holds(fds[1])
        ours.send(child.GO)
        packet = ours.recv(65536)  # end of file: the exec has closed it
        if not packet:
            return
    if packet:
        raise child.heard(packet)
    raise Error("the sandbox could not be made", "its first process died", status=child.OURS)


def hear(ours: "_socket.socket", process: Process) -> "tuple[bytes, list[int]]":
    """What comes after the word of what was made in the tree; nothing at the end."""
    packet, fds = _receive(ours)
    while packet.startswith((child.MAKES, child.MADE)):
        if packet.startswith(child.MADE):
            process.made.take(packet.removeprefix(child.MADE), fds)
        else:
            process.made.expect(os.fsdecode(packet.removeprefix(child.MAKES)))
            ours.send(child.GO)
        packet, fds = _receive(ours)
    return packet, fds


def _receive(ours: "_socket.socket") -> "tuple[bytes, list[int]]":
    packet, ancillary, _, _ = ours.recvmsg(65536, 4 * AT_ONCE + 64, _socket.MSG_CMSG_CLOEXEC)
    data = b"".join(item[2] for item in ancillary)
    return packet, [int.from_bytes(data[at : at + 4], sys.byteorder) for at in range(0, len(data), 4)]
