"""Making what a plan says: fork, run the step, seal, publish; once per step, so that a rebuild starts where it differs.

While a step's tree is forked for the next step its stage stays open: its lock keeps prune away.
"""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from treesmith import plan as planning
from treesmith import recipe, steps
from treesmith.build import locks, secrets
from treesmith.build.report import Report
from treesmith.build.room import Workroom
from treesmith.build.scheme import read, scheme
from treesmith.errors import Error
from treesmith.names import check_name
from treesmith.plan import Action, Plan, Wish
from treesmith.plan.explain import difference
from treesmith.sandbox.sandbox import Sandbox
from treesmith.steps.settle import settle
from treesmith.steps.step import Lock, Step
from treesmith.store import Stage, Store, Tree
from treesmith.store.clean import clean, clean_tree

_TIGHT = 64  # MiB: not every program says that it failed for want of space


def build(
    store: Store,
    reference: str,
    report: Report,
    *,
    sets: Mapping[str, str] | None = None,
    wish: Wish = Wish(),
    locked: str | None = None,
    given: Mapping[str, str] | None = None,
    on_failure: Callable[[Sandbox], None] | None = None,
) -> tuple[Tree, Plan]:
    """Make the tree of the recipe `reference`, a name or a path, and what it is from. Returns it and what was done.

    sets: of variables, as text. given: secrets, NAME -> FILE or env:VAR. on_failure: where a step failed, before all
    of it is removed, is handed a sandbox with a shell. locked: see `scheme.read`. Error: the recipe is wrong, a step
    failed.
    """
    if wish.name:
        check_name(wish.name)
    chain, inputs = read(reference, sets, locked)
    with ExitStack() as stack:
        plan = scheme(store, chain, inputs, wish)
        names = {action.recipe.name for action in plan.to_make} | ({plan.result.name} if plan.to_make else set())
        if names:
            locks.take(store, names, report, stack)
            plan = scheme(store, chain, inputs, wish)  # whoever we waited for may have made it
        needed = {name for action in plan.to_make if action.step for name in action.step.secrets}
        work = _Work(store, plan, report, secrets.read(given or {}, needed), on_failure)
        return work.do(), plan


class _Work:
    """One build. `tree` is the last tree that was made or kept; `entries` are the record's steps up to there."""

    def __init__(
        self, store: Store, plan: Plan, report: Report, secrets: Mapping[str, bytes],
        on_failure: Callable[[Sandbox], None] | None,
    ) -> None:  # fmt: skip
        self.store, self.plan, self.report = store, plan, report
        self.secrets = secrets
        self.on_failure = on_failure
        self.tree: Tree | None = None
        self.entries: list[dict[str, Any]] = []
        self.opened = ExitStack()  # holds the lock on `tree`

    def do(self) -> Tree:
        total = len(self.plan.to_make)
        number = 0
        try:
            for action in self.plan.actions:
                if action.verb == "keep":
                    self._keep(action)
                elif action.verb == "make":
                    number += 1
                    self.report.begin(number, total, f"{action.recipe.name}: {action.title}")
                    self._make(action)
                    self.report.end("")
        finally:
            self.opened.close()
        assert self.tree
        return self.tree

    def _keep(self, action: Action) -> None:
        lock = self.store.lock(action.tree)
        self.opened.close()
        self.opened = ExitStack()
        self.opened.callback(lock.close)
        self.tree = self.store.read(action.tree, action.name)
        self.entries = list(self.tree.steps)

    def _make(self, action: Action) -> None:
        opened = ExitStack()
        try:
            stage = opened.enter_context(self.store.stage())
            if self.tree:
                stage.fork(self.tree)
            else:
                stage.create()
            self.tree = self._step(stage, action, opened) if action.step else self._tree(stage, action)
        except BaseException:
            opened.close()
            raise
        self.opened.close()
        self.opened = opened

    def _step(self, stage: Stage, action: Action, opened: ExitStack) -> Tree:
        assert action.step
        step = action.step
        log = os.open(f"{stage.home}/log", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        began = time.time()
        try:
            with Workroom(
                self.store, stage, step, arch=action.recipe.arch, caller=os.environ, log=log, report=self.report,
                made=[entry["made"] for entry in self.entries], secrets=self.secrets, opened=opened, below=self.tree,
            ) as room:  # fmt: skip
                try:
                    made = steps.kind(step.kind).run(step, room)
                    if step.lock:
                        self._compare(step.lock, made)
                        self._settle(step.lock, room)
                    if steps.keeps_etc(step.kind, (entry["kind"] for entry in self.entries)):
                        self._commit(step, room)
                except Error as error:
                    if self.on_failure:
                        self.report.say(f"{error}\na shell where it failed; what it changes is lost at its end")
                        room.shell(self.on_failure)
                    raise
                self._check(action)
                stage = room.stage
        except Error as error:
            raise self._failed(action, error, log) from error
        finally:
            os.close(log)
        entry = planning.entry(action, stage.id, int(began), made)
        entry["seconds"] = round(time.time() - began, 3)
        entry["bytes"] = self.store.backend.added(stage, self.tree)
        self.entries.append(entry)
        return self.store.publish(
            stage, "step", key=action.key, recipe=action.recipe.record(), steps=self.entries, sealed=True
        )

    def _commit(self, step: Step, room: Workroom) -> None:
        with room.root() as root:
            clean(root)  # what must not be in a sealed tree must not be in its history either
        room.commit("first" if step.kind == "etckeeper" else "step")
        if step.lock:
            self._settle(step.lock, room)

    def _compare(self, lock: Lock, made: Mapping[str, Any]) -> None:
        for part in ("packages", "built"):
            if told := difference(lock.made.get(part, {}), made.get(part, {})):
                hint = "build without --locked, and lock what comes of it"
                raise Error("it made something else than what was locked", told, hint)

    def _settle(self, lock: Lock, room: Workroom) -> None:
        with room.root() as root:
            clean(root)  # now, and not only of the tree at the end: that it was would show in the times of folders
            settle(root, lock.epoch)

    def _check(self, action: Action) -> None:
        """What the key says the step was made of must be what it was made of, or the cache would lie for ever."""
        assert action.step and action.inputs
        before = self.plan.actions[: self.plan.actions.index(action)]
        setting = steps.Setting(action.recipe.arch, tuple(one.inputs for one in before if one.inputs))
        if steps.gather(action.step, setting).facts != action.inputs.facts:
            raise Error("what it reads changed while the build ran", hint="build again")

    def _tree(self, stage: Stage, action: Action) -> Tree:
        """A recipe's tree: its last step's, without what would make its copies twins."""
        clean_tree(self.store.backend, stage)
        launch: dict[str, Any] = {}
        for entry in self.entries:
            launch = recipe.merged(launch, entry["made"].get("launch", {}))  # an image's own
        return self.store.publish(
            stage, "build", action.name, key=action.key, recipe=action.recipe.record(), steps=self.entries,
            launch=recipe.merged(launch, action.launch), sealed=True,
        )  # fmt: skip

    def _failed(self, action: Action, error: Error, log: int) -> Error:
        """The log outlives the stage, where there is room; the next failure of the same step replaces it."""
        assert action.step
        folder = f"{self.store.path}/cache/logs"
        kept = f"{folder}/{action.recipe.name}-{action.step.number}-{action.step.kind}.log"
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            with open(kept, "wb") as file:
                os.sendfile(file.fileno(), log, 0, os.fstat(log).st_size)
            where = f"the whole log: {kept}"
        except OSError as failure:
            where = f"its log could not be kept: {failure.strerror}"
        status = os.statvfs(self.store.path)
        free = status.f_bavail * status.f_frsize >> 20
        full = f"{self.store.path}: only {free} MiB are free" if free < _TIGHT else ""
        hint = "\n".join(part for part in (error.hint, full, where) if part)
        return Error(f"{action.recipe.name}: {action.title}: {error.brief}", error.details, hint)
