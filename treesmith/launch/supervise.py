"""One supervisor for each container: it holds the tree's lock, is the parent of the first process, and cleans up."""

import os
import sys

import treesmith
from treesmith.errors import BusyError, Error
from treesmith.launch import containers, inside
from treesmith.launch.forward import Forward
from treesmith.launch.relay import relay, through_pipes, through_terminal
from treesmith.names import throwaway
from treesmith.sandbox import signals
from treesmith.sandbox.start import start
from treesmith.store import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from treesmith.backends.contract import Layout
    from treesmith.launch.detach import Caller
    from treesmith.launch.disk import Frozen
    from treesmith.launch.machine import Machine
    from treesmith.launch.network import Lease
    from treesmith.launch.network.alone import Alone
    from treesmith.launch.relay import Flow
    from treesmith.sandbox.process import Process
    from treesmith.sandbox.sandbox import Sandbox
    from treesmith.spec import Spec
    from treesmith.store.locks import Lock
    from treesmith.store.records import Tree
    from treesmith.store.staging import Stage
    from treesmith.store.store import Store


def launch(store: "Store", tree: "Tree", spec: "Spec") -> "int | str":
    """Run it to its end: its exit status, 128+N for the signal N. Detached, only start it: the container's name.

    Error, status 126 or 127: the command cannot be run, or is not there; 125: it could not be started. BusyError: the
    tree is in use. A sealed tree, and with `ephemeral` any, runs on a throw-away copy that is gone afterwards.
    """
    if spec.detach:
        from treesmith.launch.detach import detach  # here and below: only those who need it wait for it

        return detach(lambda caller: _launch(store, tree, spec, caller))
    return _launch(store, tree, spec)


def _launch(store: "Store", tree: "Tree", spec: "Spec", caller: "Caller | None" = None) -> int:
    mask = signals.block()  # from before the first thing that needs cleaning
    try:
        containers.recover()
        with _claim(store, tree, spec) as claim:
            if spec.from_checkpoint:
                from treesmith.launch.disk import Frozen

                claim.frozen = Frozen(claim.home, tree.title)
                claim.frozen.shape(spec)
            if spec.link_journal:
                from treesmith.launch import journal  # only who has one pays for it

                spec.binds = (*spec.binds, journal.link(store, claim.home, inside.machine(claim.id)))
            return _run(store, tree, spec, claim, caller)
    finally:
        signals.restore(mask)


class _Claim:
    """What is launched, a backend's Root: the tree with its lock, or a throw-away copy."""

    __slots__ = ("_lock", "frozen", "home", "id", "layout", "lease", "record", "stage")

    def __init__(self, root: "Tree | Stage", lock: "Lock | None", stage: "Stage | None") -> None:
        self.id: str = root.id
        self.home: str = root.home
        self.layout: Layout = root.layout
        self.stage = stage
        self.record: containers.Record | None = None
        self.lease: Lease | Alone | None = None  # of a private network
        self.frozen: Frozen | None = None  # what goes on in it
        self._lock = lock

    def __enter__(self) -> "_Claim":
        return self

    def __exit__(self, *_: object) -> None:
        if self.lease:
            self.lease.close()
        if self._lock:
            self._lock.close()
        if self.stage:
            try:
                self.stage.close()
            except OSError as error:  # the command's status counts; recovery finds what is left
                sys.stderr.write(f"treesmith: the throw-away copy was not removed: {error.strerror}\n")
        if self.record:  # last: whoever waits for the end may use the tree at once
            self.record.remove()


def _claim(store: "Store", tree: "Tree", spec: "Spec") -> _Claim:
    try:
        if (tree.sealed or spec.ephemeral) and not spec.from_checkpoint:
            if spec.link_journal:
                raise Error("--link-journal: nothing is kept of a throw-away copy", "", "launch a snapshot", 125)
            if not spec.ephemeral and not spec.quiet:
                sys.stderr.write(f"{tree.title} is sealed: running on a throw-away copy\n")
                sys.stderr.flush()
            stage = store.throwaway(tree)
            return _Claim(stage, None, stage)
        lock = store.lock(tree.id, exclusive=True, frozen=spec.from_checkpoint)
    except BusyError as error:
        raise BusyError(error.brief, error.details, error.hint, 125) from error
    try:
        return _Claim(store.read(tree.id), lock, None)  # its layout may have changed before we had the lock
    except BaseException:
        lock.close()
        raise


def _run(store: "Store", tree: "Tree", spec: "Spec", claim: _Claim, caller: "Caller | None") -> int:
    name = spec.name or (throwaway(tree.name or tree.id) if claim.stage else tree.title)
    claim.record = containers.reserve(claim.id, name, tree.title, store.path, spec.command, spec.stop_signal)
    fields = claim.record.fields
    if caller:
        caller.begin(fields)
    machine = _machine() if spec.boot else None
    host = _host(spec)
    try:
        if host:
            host.prepare(name, needed=bool(spec.limits))
        if spec.network == "private":
            from treesmith.launch import network  # only those who have one pay for it

            if treesmith.ROOTLESS:
                from treesmith.launch.network.alone import Alone

                claim.lease = Alone(spec.ports)
            else:
                claim.lease = network.take(claim.id, (name, inside.hostname(tree, spec)), spec.ports)
            fields.update(address=claim.lease.link.address, ports=[port.given for port in spec.ports])
        status = _once(store, tree, spec, claim, machine, host, caller)
        while machine and machine.goes_on:
            claim.record.again()
            status = _once(store, tree, spec, claim, machine, host, caller)
        if spec.etckeeper and not claim.stage and not os.path.lexists(f"{claim.home}/{records.CHECKPOINT}"):
            from treesmith.launch import etc  # only those who have it wait for it

            etc.commit(store, claim, tree.title, spec)
        if caller and caller.waits:
            raise Error(f"{name} ended before it was ready", f"status {status}", f"treesmith logs {name}")
    except BaseException:
        if caller:
            caller.missed(fields)
        raise
    if caller:
        caller.ended(fields, status)
    claim.record.end(status)
    return status


def _once(
    store: "Store",
    tree: "Tree",
    spec: "Spec",
    claim: _Claim,
    machine: "Machine | None",
    host: "ModuleType | None",
    caller: "Caller | None",
) -> int:
    """From the start to the end of the first process, or to a reboot."""
    record = claim.record
    assert record
    tty = bool(machine) or (os.isatty(0) and os.isatty(1) if spec.tty is None else spec.tty)
    view = store.backend.open(claim, "ephemeral" if claim.stage else "rw")
    notes = "" if claim.stage else f"{claim.home}/{records.POINTS}"
    process = None

    def ready() -> None:
        record.ready()
        if host and not caller:
            host.notify("READY=1")
        if caller and caller.waits:
            caller.started(record.fields)

    try:
        sandbox = inside.make(tree, spec, claim.id, claim.lease, view, tty, notes)
        process, ends = begin(sandbox, claim.frozen.start) if claim.frozen else begin(sandbox)
        record.begin(process, sandbox)
        if host and machine:
            host.register(record.fields["name"], sandbox.env["container_uuid"], process.pid)
        if caller:
            caller.divert()
        if process.notify < 0:
            ready()
        says = ready if process.notify >= 0 else None
        if not machine:
            return stay(process, streams(process, ends), ready=says)
        machine.process = process
        return machine.ended(stay(process, through_terminal(process.pty, lasting=True), machine.take, says))
    finally:
        if process:
            process.close()
        view.close()
        if notes and os.path.lexists(notes):
            from treesmith.store.recovery import clear_points  # seldom

            clear_points(store, claim.id)


def _host(spec: "Spec") -> "ModuleType | None":
    """The module that speaks to the host's systemd, where a launch may have something to say to it."""
    if not spec.boot and not spec.limits and "NOTIFY_SOCKET" not in os.environ:
        return None
    from treesmith.launch import systemd

    return systemd


def _machine() -> "Machine":
    from treesmith.launch.machine import Machine  # only a boot pays for it

    return Machine()


def attend(sandbox: "Sandbox") -> int:
    """Run what somebody else put together, on our terminal if we have one, to its end: its exit status."""
    mask = signals.block()
    try:
        if os.isatty(0) and os.isatty(1):
            sandbox.tty = inside.window()
        process, ends = begin(sandbox)
        try:
            return stay(process, streams(process, ends))
        finally:
            process.close()
    finally:
        signals.restore(mask)


def begin(
    sandbox: "Sandbox", start: "Callable[[Sandbox, tuple[int, int, int] | None], Process]" = start
) -> "tuple[Process, list[int]]":
    """The process, and our ends of the pipes that are its stdin, stdout and stderr; none if it has a tty."""
    pipes = [] if sandbox.tty else [os.pipe() for _ in range(3)]
    theirs = [pipes[0][0], pipes[1][1], pipes[2][1]] if pipes else []
    ours = [pipes[0][1], pipes[1][0], pipes[2][0]] if pipes else []
    try:
        return start(sandbox, (theirs[0], theirs[1], theirs[2]) if theirs else None), ours
    except BaseException:
        _close(ours)
        raise
    finally:
        _close(theirs)


def streams(process: "Process", ends: "list[int]") -> "list[Flow]":
    return through_pipes((ends[0], ends[1], ends[2])) if ends else through_terminal(process.pty)


def stay(
    process: "Process",
    flows: "list[Flow]",
    hand_on: "Callable[[int], None] | None" = None,
    ready: "Callable[[], None] | None" = None,
) -> int:
    terminal = None
    forward = Forward(hand_on or process.signal)
    try:
        if process.pty >= 0 and os.isatty(0):
            from treesmith.launch.terminal import Terminal

            terminal = Terminal(0, process.pty)
        return relay(flows, process, ready)
    finally:
        forward.stop()
        if terminal:
            terminal.restore()


def _close(fds: "list[int]") -> None:
    for fd in fds:
        os.close(fd)
