"""Inside: from the first instruction after the clone to the exec of the init.

After the pivot there is no library to read any more: everything that this uses was imported before. What the parent
and the child say to each other, over a socket of packets:

    parent                                        child
    go (the maps are written, layers id-mapped) ->
                                              <-  makes, a path that the tree lacks, where that is to be noted
    go (it is) ->
                                              <-  made, all that it lacked, if anything, with descriptors
                                              <-  ready, with the pty's two ends and the notify socket, if any;
                                                  all ids changed, PDEATHSIG set
    go (only now: getppid is always 0 here, so the child learns of the parent's death by the end of file) ->
                                              <-  end of file by the exec, or the error
"""

import _socket
import os

from treesmith.errors import Error
from treesmith.linux.call import packed
from treesmith.linux.process import close_on_exec, sethostname
from treesmith.sandbox import boot, command, dev, hop, loopback, privileges, pty, signals, user
from treesmith.sandbox.point import Made
from treesmith.sandbox.root import Brought, Root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.sandbox.filters import Filters
    from treesmith.sandbox.sandbox import Sandbox

GO, MAKES, MADE, READY, FAILED = b"go", b"makes", b"made", b"ready", b"failed"
OURS = 125  # the exit status of a failure of our own


class Child:
    """What the parent hands over at the clone."""

    __slots__ = ("brought", "filters", "init", "sandbox", "stdio", "talk")

    def __init__(
        self,
        sandbox: "Sandbox",
        brought: Brought,
        stdio: "tuple[int, int, int] | None",
        talk: "_socket.socket",
        init: int,  # -1: the command is one
        filters: "Filters",
    ) -> None:
        self.sandbox = sandbox
        self.brought = brought
        self.stdio = stdio
        self.talk = talk
        self.init = init  # the static program in memory that is executed first: an init, or a `hop` to the tree's own
        self.filters = filters


def run(child: Child) -> None:
    """Never returns, whatever happens."""
    try:
        try:
            signals.defaults()
            if child.talk.recv(len(GO)) == GO:
                _become(child)
        except BaseException as error:
            child.talk.send(told(error))
    finally:
        os._exit(OURS)  # above us stand the parent's frames: none of them may run here


def _become(child: Child) -> None:
    sandbox = child.sandbox
    privileges.become_root(sandbox.private_users)
    if sandbox.network != "host":
        loopback.up()
    if sandbox.link:
        sandbox.link.configure()
    if not sandbox.chroot:
        sethostname(sandbox.hostname)
    emulated = command.emulates()

    root = rooted(sandbox, child.brought, child.talk)
    account = user.look_up(root.fd, sandbox.user)
    terminal = pty.make(root.pts, sandbox.tty) if sandbox.tty else None
    if not sandbox.boot:
        root.enter(sandbox.chdir)
        notify = boot.listen() if sandbox.notify else None
        _, argv, environment = ready(
            sandbox, child.filters, account, terminal, child.stdio, child.talk, emulated, notify
        )
        os.execve(child.init, ["init", "--", *argv], environment)
    assert terminal
    dev.console(root.dev, root.pts, pty.number(terminal[0]))
    root.enter(sandbox.chdir)
    notify = boot.listen() if sandbox.notify or boot.speaks(sandbox.command[0]) else None
    path, argv, environment = ready(
        sandbox, child.filters, account, terminal, child.stdio, child.talk, emulated, notify
    )
    os.execve(child.init, hop.argv(path, argv), environment)


def rooted(sandbox: "Sandbox", brought: Brought, talk: "_socket.socket", place: str = "") -> Root:
    """Make the root, and tell the parent what it lacked."""

    def ask(path: str) -> None:
        talk.send(MAKES + os.fsencode(path))
        _await(talk)

    made = Made(ask) if sandbox.notes else Made()
    try:
        return Root(sandbox, brought, made, place)
    finally:
        for names, folders in made.packets():
            talk.sendmsg([MADE + names], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed(4, *folders))])


def ready(
    sandbox: "Sandbox",
    filters: "Filters",
    account: "user.Account",
    terminal: "tuple[int, int] | None",
    stdio: "tuple[int, int, int] | None",
    talk: "_socket.socket",
    emulated: bool,
    notify: "_socket.socket | None" = None,
) -> "tuple[str, list[str], dict[str, str]]":
    """Give up what the command may not have, and ask the parent whether to go on: what to execute, and with what."""
    privileges.check(sandbox, account)
    os.setsid()
    if terminal and not sandbox.boot:  # an init's terminal is whose getty takes it
        pty.control(terminal[1])
    _standard(terminal[1:] * 3 if terminal else stdio, 0o020000 if terminal else 0o010000, account)
    environment = sandbox.env if "HOME" in sandbox.env else {**sandbox.env, "HOME": account.home}
    argv = list(sandbox.command) or [account.shell or "/bin/sh"]
    privileges.give_up(sandbox, filters, account)
    path = command.find(argv[0], environment.get("PATH", os.defpath), emulated)
    if notify:
        environment = {**environment, "NOTIFY_SOCKET": boot.NOTIFY}
    passed = (*(terminal or ()), *((notify.fileno(),) if notify else ()))
    ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed(4, *passed))] if passed else []
    talk.sendmsg([READY], ancillary)
    _await(talk)
    close_on_exec(3)
    return path, argv, environment


def _await(talk: "_socket.socket") -> None:
    """The parent's go. Without, it is dead."""
    if talk.recv(len(GO)) != GO:
        os._exit(OURS)


def _standard(fds: "tuple[int, ...] | None", kind: int, account: "user.Account") -> None:
    """Descriptors 0 to 2. Those of this kind, a pty's slave or pipes, become the user's: /dev/stdout is opened anew by
    many programs. No other device: without private users the host's /dev/null is root's inside, too."""
    assert fds
    copies = [os.dup(fd) if fd < 3 else fd for fd in fds]
    for number, fd in enumerate(copies):
        os.dup2(fd, number)
        status = os.fstat(number)
        if not status.st_uid and status.st_mode & 0o170000 == kind:
            os.fchown(number, account.uid, -1)


def told(error: BaseException) -> bytes:
    """What `heard` makes an Error of again."""
    if not isinstance(error, Error):
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        error = Error("the sandbox could not be made", f"{where}{reason}")
    return b"\0".join([FAILED, str(error.status).encode(), *map(os.fsencode, (error.brief, error.details, error.hint))])


def heard(packet: bytes) -> Error:
    """In the parent: the error that was `told`."""
    status, brief, details, hint = packet.split(b"\0")[1:5]
    return Error(os.fsdecode(brief), os.fsdecode(details), os.fsdecode(hint), int(status))
