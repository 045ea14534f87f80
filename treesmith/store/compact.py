"""Storing trees in less, where the backend can. Part of prune."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from treesmith.errors import BusyError, Error, NotFoundError
from treesmith.sandbox import leftovers
from treesmith.store import locks, mounted, records
from treesmith.store.records import Damaged, Tree
from treesmith.store.store import Store

if TYPE_CHECKING:
    from treesmith.backends.contract import Compaction


def compactions(store: Store, trees: "list[Tree | Damaged]", busy: Collection[str]) -> "list[Compaction]":
    """What `compact` would do if these trees were all there are, and `busy` the ids of those in use."""
    good = [tree for tree in trees if isinstance(tree, Tree)]
    if len(good) < len(trees):
        return []  # nobody knows what a damaged one needs
    try:
        return store.backend.compactions(good, busy)
    except OSError:
        return []  # somebody removes one of them


def compact(store: Store) -> list[str]:
    """Do it, one after the other. Returns what failed, one line each."""
    trees = store.trees()
    busy = {tree.id for tree in trees if store.in_use(tree.id)}
    failed = []
    for compaction in compactions(store, trees, busy):
        try:
            _compact(store, compaction)
        except (Error, OSError) as error:
            failed.append(f"{compaction.what} of {len(compaction.trees)} trees: {error}".replace("\n", ": "))
    return failed


def _compact(store: Store, compaction: "Compaction") -> None:
    with store.stage() as stage:
        first = compaction.trees[0]
        lock = locks.attempt(f"{store.path}/locks/{first}", exclusive=False)
        if not lock:
            return
        with lock:  # so what is read does not go meanwhile
            try:
                layout = store.read(first).layout
            except NotFoundError:
                return
            if compaction.after(stage.id, layout) is None:
                return  # another prune came first
            compaction.make(stage.id)
        for id in compaction.trees:
            _publish(store, compaction, stage.id, id)


def _publish(store: Store, compaction: "Compaction", made: str, id: str) -> None:
    """A tree that is in use, or gone, keeps what it has."""
    try:
        mounted.settle(id)
    except BusyError:
        return
    lock = locks.attempt(f"{store.path}/locks/{id}", exclusive=True)
    if not lock:
        return
    with lock:
        leftovers.clear(id)
        with store.writing():
            try:
                tree = store.read(id)
            except NotFoundError:
                return
            layout = compaction.after(made, tree.layout)
            if layout:
                tree.layout = layout
                records.replace(tree)
