"""Trees for tests that are about trees, not about what is in them."""

import os
from pathlib import Path
from typing import Any

from forest import opened

from treesmith.names import new_id
from treesmith.store import Store, Tree


def make(store: Store, name: str = "", parent: Tree | None = None, kind: str = "build", **fields: Any) -> Tree:
    """A sealed tree with a file /made that says its name."""
    with store.stage() as stage:
        if parent:
            stage.fork(parent)
        else:
            stage.create()
        with opened(store, stage) as root:
            (root / "made").write_text(name)
        return store.publish(stage, kind, name, sealed=True, **fields)


def step(store: Store, key: str, parent: Tree | None = None) -> Tree:
    """A step's tree; it lists its parent's steps and itself."""
    with store.stage() as stage:
        if parent:
            stage.fork(parent)
        else:
            stage.create()
        entries = [*(parent.steps if parent else []), {"key": key, "tree": stage.id}]
        return store.publish(stage, "step", key=key, steps=entries, sealed=True)


def titles(store: Store) -> list[str]:
    return sorted(tree.name or getattr(tree, "key", "") or "nameless" for tree in store.trees())


def crowd(store: Store, count: int, source: str) -> None:
    """As if `source` had been snapshotted `count` times, but fast: the names are n0, n1, ..."""
    first = store.snapshot(store.find(source), "n0")
    text = Path(first.home, "tree.json").read_text()
    for number in range(1, count):
        id = new_id()
        home = f"{store.path}/trees/{id}"
        os.mkdir(home, 0o700)
        Path(home, "tree.json").write_text(text.replace(first.id, id))
        for folder in ("", "/fs", "/work"):
            os.mkdir(f"{store.path}/layers/{id}-0{folder}", 0o755)
        Path(store.path, "locks", id).touch()
        os.symlink(f"../trees/{id}", f"{store.path}/names/n{number}")
