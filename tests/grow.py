"""Trees for tests that are about trees, not about what is in them."""

from typing import Any

from forest import opened

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
