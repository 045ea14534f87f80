"""The one way to start an outside program while building: in a sandbox, its output to a log and, by lines, to whoever
looks on."""

import errno
import os
import select

from treesmith.errors import Error
from treesmith.sandbox import signals
from treesmith.sandbox.start import start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from treesmith.sandbox.process import Process
    from treesmith.sandbox.sandbox import Sandbox
    from treesmith.veil import Veil

_TAIL = 20  # lines that an error shows
_TICK = 250  # ms
_LONGEST = 65536  # bytes of a line; what has no end is cut


def run(
    sandbox: "Sandbox",
    log: int,
    on_line: "Callable[[str], None] | None" = None,
    what: str = "",
    stdin: int = -1,
    errors: int = -1,
    on_tick: "Callable[[], None] | None" = None,
    veil: "Veil | None" = None,
) -> None:
    """Until it has ended well. Its stdout and stderr go to the descriptor `log`, whole, and to `on_line` line by line,
    as `veil` lets them be seen.

    `what` names it in messages. `stdin`: a descriptor, else there is nothing to read. `errors`: a descriptor that has
    its stderr instead. `on_tick` is called a few times a second. Error: the status, with the last lines. On any
    exception, KeyboardInterrupt or one out of `on_line`, everything inside is killed first.
    """
    what = what or " ".join(sandbox.command)
    nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    reader, writer = os.pipe()
    try:
        process = _start(sandbox, (nothing if stdin < 0 else stdin, writer, writer if errors < 0 else errors), what)
        os.close(writer)
        writer = -1
        try:
            signals.restore(process.mask)
            lines = _Lines(on_line)
            _follow(process, reader, log, lines, on_tick, veil)
            status = process.wait()
        finally:
            process.close()
    finally:
        for fd in (nothing, reader, writer):
            if fd >= 0:
                os.close(fd)
    if status:
        raise Error(f"{what} failed with status {status}", "\n".join(lines.tail))


def _start(sandbox: "Sandbox", stdio: "tuple[int, int, int]", what: str) -> "Process":
    try:
        return start(sandbox, stdio)
    except Error as error:
        raise Error(f"{what} could not be started: {error.brief}", error.details, error.hint) from error


class _Lines:
    """Bytes in, lines out. What stands before a carriage return was overwritten: a progress bar's last state counts."""

    def __init__(self, on_line: "Callable[[str], None] | None") -> None:
        self.tail: list[str] = []
        self._rest = b""
        self._on_line = on_line

    def take(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST:
            whole.append(self._rest)
            self._rest = b""
        for line in whole:
            self._one(line)

    def end(self) -> None:
        if self._rest:
            self._one(self._rest)

    def _one(self, line: bytes) -> None:
        text = line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace")
        self.tail = [*self.tail, text][-_TAIL:]
        if self._on_line:
            self._on_line(text)


def _follow(
    process: "Process | _Hosted", reader: int, log: int, lines: _Lines, on_tick: "Callable[[], None] | None" = None,
    veil: "Veil | None" = None,
) -> None:  # fmt: skip
    """Until the pipe's end, or the process's: what was handed out of the sandbox must not keep us."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    poll.register(process.pidfd, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll(_TICK)]
        if on_tick:
            on_tick()
        if not ready:
            continue
        if reader not in ready:
            break
        data = os.read(reader, 65536)
        if not data:
            break
        if veil:
            data = veil.take(data)
        _keep(log, data)
        lines.take(data)
    if veil:
        _keep(log, rest := veil.end())
        lines.take(rest)
    lines.end()


def _keep(log: int, data: bytes) -> None:
    """As far as there is room: whose output this is finds out by itself that there is none, and says so last."""
    try:
        while data:
            data = data[os.write(log, data) :]
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def hosted(argv: "tuple[str, ...]", environment: "dict[str, str]", log: int, on_line: "Callable[[str], None]") -> bytes:
    """What a program of the host says on its stdout, run as treesmith's caller and in no sandbox: for what needs the
    caller's own credentials and sockets. Its stderr goes to the descriptor `log` and to `on_line`. Error: it fails.
    """
    answer = os.memfd_create("answer", os.MFD_CLOEXEC)
    reader, writer = os.pipe()
    try:
        actions = [(os.POSIX_SPAWN_DUP2, answer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)]
        try:
            process = _Hosted(os.posix_spawnp(argv[0], argv, environment, file_actions=actions))
        except OSError as error:
            raise Error(f"{argv[0]} could not be started", error.strerror or "") from error
        os.close(writer)
        writer = -1
        lines = _Lines(on_line)
        try:
            _follow(process, reader, log, lines)
        except BaseException:
            process.kill()
            raise
        finally:
            status = process.wait()
        if status:
            raise Error(f"{argv[0]} failed with status {status}", "\n".join(lines.tail))
        size = os.fstat(answer).st_size
        return os.pread(answer, size, 0)
    finally:
        for fd in (answer, reader, writer):
            if fd >= 0:
                os.close(fd)


class _Hosted:
    __slots__ = ("_pid", "pidfd")

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.pidfd = os.pidfd_open(pid)

    def kill(self) -> None:
        os.kill(self._pid, 9)

    def wait(self) -> int:
        os.close(self.pidfd)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def output(argv: "tuple[str, ...]") -> str:
    """What a program of the host says on its stdout: for versions, so in no sandbox. Error: it fails."""
    reader, writer = os.pipe()
    try:
        actions = [(os.POSIX_SPAWN_DUP2, writer, 1)]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
        try:
            pid = os.posix_spawnp(argv[0], argv, environment, file_actions=actions)
        except OSError as error:
            raise Error(f"{argv[0]} could not be started", error.strerror or "") from error
        os.close(writer)
        writer = -1
        text = b""
        while data := os.read(reader, 65536):
            text += data
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if status:
        raise Error(f"{' '.join(argv)} failed with status {status}")
    return text.decode(errors="replace")
