"""Somebody who changes a store without a pause, and says before each change what will be so after it."""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from forest import content, opened

from treesmith.errors import Error
from treesmith.store import Store, Tree

NAMES = [f"tree-{letter}" for letter in "abcdefgh"]
DIRTY = "written to without a sync"
State = dict[str, str]  # name -> digest of the content, or DIRTY
Change = dict[str, str | None]


def digest(store: Store, root) -> str:
    return hashlib.sha256(repr(content(store, root)).encode()).hexdigest()


def state(store: Store) -> State:
    return {
        tree.name: digest(store, tree)
        for tree in store.trees()
        if isinstance(tree, Tree) and tree.name and "@" not in tree.name
    }


class Restless:
    def __init__(self, store: Store, out: int, chance: random.Random) -> None:
        self.store, self.out, self.chance = store, out, chance

    def run(self) -> None:
        """Until it is killed, or the disk is gone."""
        self.state = state(self.store)
        self.say(self.state)
        ways = (self.build, self.snapshot, self.snapshot, self.write, self.seal, self.rename, self.remove, self.prune)
        while True:
            self.chance.choice(ways)()

    def say(self, what: object) -> None:
        os.write(self.out, json.dumps(what).encode() + b"\n")

    def change(self, will: Change, action: Callable[[], object]) -> None:
        self.say(will)
        try:
            action()
        except Error as error:
            if "not everything" in error.brief:
                raise
            self.say(str(error))  # refused: nothing has changed
        else:
            self.state = after(self.state, will)
            self.say(True)

    def pick(self) -> str:
        return self.chance.choice(list(self.state) or [""])

    def build(self) -> None:
        name = self.chance.choice(NAMES)
        with self.store.stage() as stage:
            stage.create()
            with opened(self.store, stage, "ephemeral") as root:
                for number in range(4):
                    self.scribble(root, str(number))
            self.change(
                {name: digest(self.store, stage)}, lambda: self.store.publish(stage, "build", name, sealed=True)
            )

    def scribble(self, root: Path, name: str) -> None:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir()
        (root / name / "data").write_bytes(self.chance.randbytes(self.chance.randrange(1, 100_000)))
        os.link(root / name / "data", root / name / "again")
        os.setxattr(root / name, "user.number", self.chance.randbytes(8))

    def snapshot(self) -> None:
        source, name = self.pick(), self.chance.choice(NAMES)
        if source and name not in self.state:
            tree = self.store.find(source)
            self.change({name: digest(self.store, tree)}, lambda: self.store.snapshot(tree, name))

    def write(self) -> None:
        name = self.pick()
        tree = self.store.find(name) if name else None
        if tree and not tree.sealed:
            with opened(self.store, tree) as root:
                self.change({name: DIRTY}, lambda: self.scribble(root, self.chance.choice("0123456789")))

    def seal(self) -> None:
        name = self.pick()
        if name:
            tree = self.store.find(name)
            self.change({name: digest(self.store, tree)}, lambda: self.store.seal(tree))

    def rename(self) -> None:
        old, new = self.pick(), self.chance.choice(NAMES)
        if old and new not in self.state:
            self.change({new: self.state[old], old: None}, lambda: self.store.rename(old, new))

    def remove(self) -> None:
        name = self.pick()
        if name:
            self.change({name: None}, lambda: self.store.remove([self.store.find(name)]))

    def prune(self) -> None:
        from treesmith.store.prune import apply, plan

        self.change({}, lambda: apply(self.store, plan(self.store)))


def after(state: State, change: Change) -> State:
    merged = {**state, **change}
    return {name: what for name, what in merged.items() if what is not None}


def told(lines: list[str]) -> tuple[list[State], State]:
    """The states that were promised, one after the other, and what is so if the change that had begun went through."""
    first, *rest = map(json.loads, lines)
    promised, will = [first], Change()
    for said in rest:
        if isinstance(said, dict):
            will = said
            continue
        if said is True:
            promised.append(after(promised[-1], will))
        will = {}
    return promised, after(promised[-1], will)


def broken(found: State, allowed: list[State]) -> list[str]:
    """The names under which something else is found than in one of the states."""
    names = sorted({*found, *(name for each in allowed for name in each)})
    values = {name: {each.get(name) for each in allowed} for name in names}
    return [
        name for name in names if found.get(name) not in values[name] and not (name in found and DIRTY in values[name])
    ]
