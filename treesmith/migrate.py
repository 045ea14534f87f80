"""Moving a store to another directory and backend: every tree under its own id, so that all that is known of it holds.

A tree is made as a fork of its parent's copy, and then like the original in as few changes as that takes: so what trees
share they share again. It is published only when the comparator finds no difference. The new store calls itself
MOVING, which nobody opens, until everything is there; who is killed on the way, or finds the disk full, begins again
where he was. The source is only read; its writable trees are locked, so that nothing changes behind us.
"""

import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Protocol

from treesmith.compare import differences, imitate, walk
from treesmith.errors import BusyError, Error
from treesmith.store import Damaged, Stage, Store, Tree, adopt, frozen, index, locks, open_store, records
from treesmith.store.create import create
from treesmith.store.store import FILE, VERSION

MOVING = "moving.json"
_SHOWN = 5  # differences


class Report(Protocol):
    """Whom it tells what it is doing: see ui.progress."""

    def begin(self, n: int, total: int, text: str) -> None: ...

    def end(self, text: str) -> None: ...


def plan(source: Store) -> list[tuple[Tree, Tree | None]]:
    """(tree, the one that its copy will be forked from) of every tree, in the order in which they are made.

    Error: one is damaged.
    """
    found = source.trees()
    damaged = sorted(tree.title for tree in found if isinstance(tree, Damaged))
    if damaged:
        raise Error(f"{', '.join(damaged)}: damaged", hint="treesmith check --repair puts it out of the way")
    trees = {tree.id: tree for tree in found if isinstance(tree, Tree)}
    made: dict[str, tuple[Tree, Tree | None]] = {}
    for tree in sorted(trees.values(), key=lambda tree: (tree.created, tree.id)):
        chain = []
        at: Tree | None = tree
        while at and at.id not in made and at not in chain:
            chain.append(at)
            at = trees.get(at.parent or "")
        for each in reversed(chain):
            parent = made.get(each.parent or "")
            made[each.id] = (each, parent[0] if parent else None)
    return list(made.values())


def check(source: Store, path: str) -> bool:
    """Can the store be moved to the absolute `path` now? False: it was. Error, BusyError: no, and why."""
    here, there = os.path.realpath(source.path), os.path.realpath(path)
    if f"{here}/".startswith(f"{there}/") or f"{there}/".startswith(f"{here}/"):
        raise Error(f"{path} is {source.path}, or one lies in the other", hint="give it a directory of its own")
    if os.path.lexists(f"{path}/{FILE}"):
        if records.parse(records.read_file(f"{open_store(path).path}/{FILE}")).get("from") == source.path:
            return False
        raise Error(f"there is a store at {path} already", hint="give it a directory of its own")
    busy = sorted(tree.title for tree in source.trees() if source.in_use(tree.id))
    if busy:
        raise BusyError(f"in use: {', '.join(busy)}", "a store is moved while nothing in it runs or is mounted")
    staging = f"{source.path}/staging"
    if not all(locks.is_free(f"{staging}/{entry}") for entry in os.listdir(staging) if entry.endswith(".lock")):
        raise BusyError("somebody is making a tree", hint="try again afterwards")
    return True


def migrate(source: Store, backend: str, path: str, report: Report) -> int:
    """Copy everything in `source` to a new store at the absolute `path`, or go on doing so. Returns how many trees
    there are; 0: it had been done before. Error: why not; what was copied by then stays for the next time."""
    if not check(source, path):
        return 0
    target = _target(source, backend, path)
    # A lock for each writable tree is an open file, and so is each directory that a walk is in.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    turn = locks.attempt(f"{path}/locks/migration", exclusive=True)
    if not turn:
        raise BusyError(f"another process is moving a store to {path}")
    with turn, ExitStack() as held:
        locked: set[str] = set()
        target.recover()
        while True:
            trees = plan(source)
            for tree, _ in trees:
                if not tree.sealed and tree.id not in locked:
                    held.enter_context(_locked(source, tree))
                    locked.add(tree.id)
            for number, (tree, parent) in enumerate(trees, 1):
                report.begin(number, len(trees), tree.name or f"@{tree.id[:8]}")
                report.end(_bring(source, target, tree, parent))
            _drop_others(target, {tree.id for tree, _ in trees})
            _copy_logs(source, target)
            with source.writing(), target.writing():
                if {tree.id for tree, _ in plan(source)} == {tree.id for tree, _ in trees}:
                    _describe(source, target)
                    turn.remove()
                    os.rename(f"{path}/{MOVING}", f"{path}/{FILE}")
                    records.sync_folder(path)
                    return len(trees)


def _target(source: Store, backend: str, path: str) -> Store:
    create(path, backend, lambda tried: None, MOVING, {"from": source.path})
    about = records.parse(records.read_file(f"{path}/{MOVING}"))
    if (about["version"], about["backend"], about["from"]) != (VERSION, backend, source.path):
        raise Error(
            f"another move to {path} was begun",
            f"of {about['from']}, to {about['backend']}",
            "go on with that one, or give this one a directory of its own",
        )
    return Store(path, backend)


def _locked(source: Store, tree: Tree) -> locks.Lock:
    """As long, nobody writes to it. It does not count as used."""
    used = source.used(tree.id)
    lock = source.lock(tree.id, exclusive=not tree.sealed, frozen=True)
    when = tree.created if used is None else used
    os.utime(lock.fileno(), (when, when))
    return lock


def _bring(source: Store, target: Store, tree: Tree, parent: Tree | None) -> str:
    """Have `tree` in the target, whole. Returns what was done."""
    there = records.survey(f"{target.path}/trees/{tree.id}")
    if isinstance(there, Damaged):
        raise Error(f"{there.title} in {target.path} is damaged", there.why, f"remove {target.path}, and begin again")
    if there and there.sealed:
        return "there already"
    with ExitStack() as held:
        if tree.sealed:
            held.enter_context(_locked(source, tree))
        if there:
            held.enter_context(target.lock(tree.id, exclusive=True, frozen=True))
            _alike(source, tree, target, there)
            frozen.pass_on(tree.home, there.home)
            target.backend.flush(there)
            if tree.sealed:
                adopt.seal(target, tree.id)
            return "there already, looked through again"
        stage = held.enter_context(Stage(target, tree.id))
        if parent:
            stage.fork(target.read(parent.id))
        else:
            stage.create()
        _alike(source, tree, target, stage)
        for name in os.listdir(tree.home):
            path = f"{tree.home}/{name}"
            if name != records.FILE and os.path.isfile(path) and not os.path.islink(path):
                shutil.copy2(path, f"{stage.home}/{name}")  # a step's log
        frozen.pass_on(tree.home, stage.home)
        adopt.publish(target, stage, tree)
    return f"from {parent.title}" if parent else "from nothing"


def _alike(source: Store, tree: Tree, target: Store, root: "Tree | Stage") -> None:
    """Make `root` like `tree`, and prove it."""
    with _opened(source, tree, "ro") as ours, _opened(target, root, "rw") as theirs:
        for content in (False, True):
            try:
                imitate(ours, theirs, content)
            except OSError as error:
                raise Error(f"{tree.title} could not be copied", str(error)) from None
            left = list(islice(differences(walk(ours), walk(theirs)), _SHOWN))
            if not left:
                return
    raise Error(
        f"{tree.title} is not the same on {target.backend.name}",
        "\n".join(map(str, left)),
        f"the filesystem of {target.path} cannot keep it; {source.path} is as it was",
    )


@contextmanager
def _opened(store: Store, root: "Tree | Stage", mode: str) -> Iterator[int]:
    view = store.backend.open(root, "ro" if mode == "ro" else "rw")
    try:
        mount = view.mount()
        try:
            yield mount
        finally:
            os.close(mount)
    finally:
        view.close()


def _drop_others(target: Store, wanted: set[str]) -> None:
    """What was removed in the source since it was copied, children first."""
    others = [tree for tree, _ in plan(target) if tree.id not in wanted]
    needed = {tree.parent for tree in target.trees() if isinstance(tree, Tree) and tree.id in wanted}
    for tree in reversed(others):
        if tree.id not in needed:
            target.remove([tree])


def _copy_logs(source: Store, target: Store) -> None:
    """Of failed steps and of detached containers. Downloads are not worth it."""
    for folder in ("cache/logs", "cache/containers"):
        if not os.path.isdir(f"{source.path}/{folder}"):
            continue
        os.makedirs(f"{target.path}/{folder}", 0o700, exist_ok=True)
        for name in os.listdir(f"{source.path}/{folder}"):
            if not name.endswith(".json"):
                shutil.copy2(f"{source.path}/{folder}/{name}", f"{target.path}/{folder}/{name}")
                continue
            record = records.parse(records.read_file(f"{source.path}/{folder}/{name}"))
            text = records.encode({**record, "store": target.path}) + "\n"
            records.write_file(f"{target.path}/{folder}/{name}", text, durable=False)


def _describe(source: Store, target: Store) -> None:
    """What is quick: records, names, keys, when trees were used. Both writers' locks are held."""
    for tree, _ in plan(source):
        adopt.describe(target, tree)
        used = source.used(tree.id)
        if used is not None:
            path = f"{target.path}/locks/{tree.id}"
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            os.utime(path, (used, used))
    adopt.point(f"{target.path}/names", source.names())
    adopt.point(f"{target.path}/keys", index.read(f"{source.path}/keys"))
