"""The room that a step works in: the stage it fills, its sandbox, its caches and its log."""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

from treesmith.build.points import Points
from treesmith.build.report import Report
from treesmith.run import run
from treesmith.sandbox import sandbox as boxes
from treesmith.sandbox.sandbox import Bind, Sandbox
from treesmith.sandbox.tools import Tools
from treesmith.sandbox.view import View
from treesmith.steps import Step
from treesmith.steps.network import outfit
from treesmith.store import Stage, Store

_TMPFS = ("/tmp", "/run")  # what is written there ends with the program, and mount points below with it
_ENV = {"PATH": boxes.PATH, "LC_ALL": "C.UTF-8", "container": "treesmith"}

Files = Sequence[tuple[str, bytes]]


class Workroom:
    """steps.Room for one step; a `with` block, at whose end its caches are unlocked."""

    def __init__(
        self, store: Store, stage: Stage, step: Step, *, arch: str, caller: Mapping[str, str],
        made: Sequence[Mapping[str, Any]], secrets: Mapping[str, bytes], log: int, report: Report,
    ) -> None:  # fmt: skip
        self.arch = arch
        self.caller = caller
        self.made = made
        self._store, self._stage, self._step = store, stage, step
        self._log, self._report = log, report
        self._network = "host" if step.network else "none"
        taken = outfit(caller if step.network else {})
        self._env = {**_ENV, **taken.env}
        self._files = (*taken.files, *((f"/run/secrets/{name}", secrets[name]) for name in step.secrets))
        self._locks: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._locks:
            os.close(self._locks.pop())

    def inside(
        self, argv: Sequence[str], *, env: Mapping[str, str] = {}, binds: Sequence[Bind] = (), files: Files = (),
        user: str = "", chdir: str = "/", what: str = "",
    ) -> None:  # fmt: skip
        """See steps.room."""
        with self._inside(argv, env, binds, files) as box:
            box.user, box.chdir = user, chdir
            self._run(box, what)

    def ask(
        self, argv: Sequence[str], *, env: Mapping[str, str] = {}, binds: Sequence[Bind] = (), files: Files = ()
    ) -> str:
        """See steps.room."""
        answer = os.memfd_create("answer", os.MFD_CLOEXEC)
        with open(answer, "rb") as file, self._inside(argv, env, binds, files) as box:
            box.network = "none"
            run(box, answer, errors=self._log)
            file.seek(0)
            return file.read().decode(errors="replace")

    def shell(self, attend: Callable[[Sandbox], None]) -> None:
        """Hand `attend` the sandbox that the step's programs have, with the tree's shell for a program."""
        with self._inside((), {"TERM": self.caller.get("TERM", "linux")}) as box:
            attend(box)

    def outside(
        self, argv: Sequence[str], *, env: Mapping[str, str] = {}, binds: Sequence[Bind] = (), files: Files = (),
        mounts: bool = False, what: str = "",
    ) -> None:  # fmt: skip
        """See steps.room."""
        view, tools = self._store.backend.open(self._stage, "ephemeral"), Tools()
        try:
            box = self._box(tools, argv, env, binds, files)
            box.views, box.furnish, box.tmpfs = ((view, "/target"),), not mounts, ()
            if mounts:
                box.capabilities = boxes.BOOTSTRAP
            self._run(box, what)
        finally:
            view.close()
            tools.close()

    @contextmanager
    def root(self) -> Iterator[int]:
        """See steps.room."""
        view = self._store.backend.open(self._stage, "ephemeral")
        try:
            root = view.mount()
        finally:
            view.close()
        try:
            yield root
        finally:
            os.close(root)

    def cache(self, name: str) -> str:
        """See steps.room."""
        path = f"{self._store.path}/cache/{name}"
        os.makedirs(path, 0o755, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._locks.append(lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.say(f"waiting for another build that uses the {name} cache")
            fcntl.flock(lock, fcntl.LOCK_EX)
        return path

    def say(self, text: str) -> None:
        """See steps.room."""
        os.write(self._log, f"treesmith: {text}\n".encode())
        self._report.line(text)

    def _box(
        self, view: View, argv: Sequence[str], env: Mapping[str, str], binds: Sequence[Bind], files: Files
    ) -> Sandbox:
        return Sandbox(
            view, tuple(argv), env={**self._env, **env, **self._step.env}, network=self._network, binds=tuple(binds),
            files=(*self._files, *files), tmpfs=_TMPFS, no_sync=True,
        )  # fmt: skip

    @contextmanager
    def _inside(
        self, argv: Sequence[str], env: Mapping[str, str], binds: Sequence[Bind] = (), files: Files = ()
    ) -> Iterator[Sandbox]:
        """A sandbox on the tree, which is left without the mount points that it makes."""
        paths = [*(bind.target for bind in binds), *(path for path, _ in files), "/etc/resolv.conf"]
        with self.root() as root:
            points = Points(root, paths)
        view = self._store.backend.open(self._stage, "ephemeral")
        try:
            yield self._box(view, argv, env, binds, files)
        finally:
            view.close()
            with self.root() as root:
                points.clear(root)

    def _run(self, box: Sandbox, what: str) -> None:
        run(box, self._log, self._report.line, what, on_tick=self._report.tick)
