"""The room that a step works in: the stage it fills, its sandbox, its caches and its log."""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from treesmith import etckeeper, steps
from treesmith.build.report import Report
from treesmith.errors import Error, NotFoundError
from treesmith.run import hosted, run
from treesmith.sandbox import foreign
from treesmith.sandbox import sandbox as boxes
from treesmith.sandbox.sandbox import Bind, Sandbox
from treesmith.sandbox.tools import Tools
from treesmith.sandbox.view import View
from treesmith.steps import Step
from treesmith.steps.network import outfit
from treesmith.steps.settle import environment
from treesmith.store import Stage, Store, Tree
from treesmith.veil import Veil

_TMPFS = (("/tmp", ""), ("/run", ""))  # what is written there ends with the program, and mount points below with it
_ENV = {"PATH": boxes.PATH, "LC_ALL": "C.UTF-8", "container": "treesmith"}

Files = Sequence[tuple[str, bytes]]


class Workroom:
    """steps.Room for one step; a `with` block, at whose end its caches are unlocked.

    stage: what the step fills; another one than it was made with once `stack` has gone on from a tree.
    below: the tree that it is a fork of, whose lock is held; None: it was empty.
    """

    def __init__(
        self, store: Store, stage: Stage, step: Step, *, arch: str, caller: Mapping[str, str],
        made: Sequence[Mapping[str, Any]], secrets: Mapping[str, bytes], log: int, report: Report, opened: ExitStack,
        below: Tree | None = None,
    ) -> None:  # fmt: skip
        self.stage = stage
        self._below = below
        self.arch = arch
        self.caller = caller
        self.made = made
        self._store, self._step, self._secrets = store, step, secrets
        self._log, self._report, self._opened = log, report, opened
        fetches = step.network and (not step.lock or steps.kind(step.kind).schema.checked)
        self._network = "host" if fetches else "none"
        taken = outfit(caller if fetches else {})
        self._env = {**_ENV, **taken.env, **(environment(step.lock.epoch) if step.lock else {})}
        self._files = taken.files
        self._shown = tuple((f"/run/secrets/{name}", secrets[name]) for name in step.secrets)
        self._locks: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._locks:
            os.close(self._locks.popitem()[1])

    def inside(
        self, argv: Sequence[str], *, env: Mapping[str, str] = {}, binds: Sequence[Bind] = (), files: Files = (),
        user: str = "", chdir: str = "/", what: str = "", alone: bool = False,
    ) -> None:  # fmt: skip
        """See steps.room."""
        with self._inside(argv, env, binds, files) as box:
            box.user, box.chdir = user, chdir
            if alone:
                box.network = "none"
            self._run(box, what)

    def ask(
        self, argv: Sequence[str], *, env: Mapping[str, str] = {}, binds: Sequence[Bind] = (), files: Files = ()
    ) -> str:
        """See steps.room."""
        answer = os.memfd_create("answer", os.MFD_CLOEXEC)
        with open(answer, "rb") as file, self._inside(argv, env, binds, files) as box:
            box.network, box.files = "none", (*self._files, *files)
            run(box, answer, errors=self._log)
            file.seek(0)
            return file.read().decode(errors="replace")

    def commit(self, how: str) -> None:
        """Commit what the step changed in /etc. how: see etckeeper.commit_argv."""
        with self._inside(etckeeper.commit_argv(how, self._step.whole_title), {}) as box:
            box.env |= etckeeper.environment(self._step.lock.epoch if self._step.lock else None)
            box.network, box.files = "none", ()
            self._run(box, "the commit of /etc")

    def shell(self, attend: Callable[[Sandbox], None]) -> None:
        """Hand `attend` the sandbox that the step's programs have, with the tree's shell for a program."""
        with self._inside((), {"TERM": self.caller.get("TERM", "linux")}) as box:
            attend(box)

    def outside(
        self, argv: Sequence[str], *, env: Mapping[str, str] = {}, binds: Sequence[Bind] = (), files: Files = (),
        mounts: bool = False, what: str = "", alarms: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """See steps.room."""
        view, tools = self._store.backend.open(self.stage, "ephemeral"), Tools()
        try:
            box = self._box(tools, argv, env, binds, files)
            box.views, box.furnish, box.tmpfs = ((view, "/target"),), not mounts, ()
            if mounts:
                box.capabilities = boxes.BOOTSTRAP
            self._run(box, what, alarms)
        finally:
            view.close()
            tools.close()

    @contextmanager
    def root(self) -> Iterator[int]:
        """See steps.room."""
        view = self._store.backend.open(self.stage, "ephemeral")
        try:
            root = view.mount()
        finally:
            view.close()
        try:
            yield root
        finally:
            os.close(root)

    @contextmanager
    def aside(self) -> "Iterator[Workroom]":
        """See steps.room."""
        with self._store.throwaway(self._below) if self._below else self._store.stage() as stage:
            if not self._below:
                stage.create()
            room = Workroom(
                self._store, stage, self._step, arch=self.arch, caller=self.caller, made=self.made,
                secrets=self._secrets, log=self._log, report=self._report, opened=self._opened, below=self._below,
            )  # fmt: skip
            room._locks = self._locks  # one step's caches are locked once
            yield room

    def cache(self, name: str) -> str:
        """See steps.room."""
        path = f"{self._store.path}/cache/{name}"
        if name in self._locks:
            return path
        os.makedirs(path, 0o755, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._locks[name] = lock
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.say(f"waiting for another build that uses the {name} cache")
            fcntl.flock(lock, fcntl.LOCK_EX)
        return path

    def host(self, argv: Sequence[str]) -> bytes:
        """See steps.room."""
        return hosted(tuple(argv), dict(self.caller), self._log, self._report.line)

    def stack(self, keys: Sequence[str], lay: Callable[[int], None]) -> None:
        """See steps.room."""
        start = 0
        for count in range(len(keys), 0, -1):
            if (tree := self._store.by_key(keys[count - 1])) and self._go_on(tree):
                start = count
                break
        for number in range(start, len(keys)):
            lay(number)
            self._go_on(self._store.publish(self.stage, "step", key=keys[number], sealed=True))

    def _go_on(self, tree: Tree) -> bool:
        """Work in a fork of `tree`. False: it has just been removed."""
        stage = self._opened.enter_context(self._store.stage())
        try:
            stage.fork(tree)
        except NotFoundError:
            return False
        home = tree.home if self.stage.published else self.stage.home
        os.rename(f"{home}/log", f"{stage.home}/log")  # it goes on being written
        self.stage.close()
        self.stage = stage
        return True

    def say(self, text: str) -> None:
        """See steps.room."""
        os.write(self._log, f"treesmith: {text}\n".encode())
        self._report.line(text)

    def _box(
        self, view: View, argv: Sequence[str], env: Mapping[str, str], binds: Sequence[Bind], files: Files
    ) -> Sandbox:
        foreign.check(self.arch)
        return Sandbox(
            view, tuple(argv), env={**self._env, **env, **self._step.env}, network=self._network, binds=tuple(binds),
            files=(*self._files, *self._shown, *files), tmpfs=_TMPFS, no_sync=True,
        )  # fmt: skip

    @contextmanager
    def _inside(
        self, argv: Sequence[str], env: Mapping[str, str], binds: Sequence[Bind] = (), files: Files = ()
    ) -> Iterator[Sandbox]:
        """A sandbox on the tree."""
        view = self._store.backend.open(self.stage, "ephemeral")
        try:
            yield self._box(view, argv, env, binds, files)
        finally:
            view.close()

    def _run(self, box: Sandbox, what: str, alarms: Sequence[str] = ()) -> None:
        alarming: list[str] = []

        def hear(line: str) -> None:
            if any(alarm in line for alarm in alarms):
                alarming.append(line)
            self._report.line(line)

        veil = Veil(secret for _, secret in self._shown) if self._shown else None
        run(box, self._log, hear, what, on_tick=self._report.tick, veil=veil)
        if alarming:
            raise Error(f"{what} failed, though it ended with status 0", "\n".join(alarming))
