"""Taking over trees of another store, under their own ids, and what is known of them."""

import os

from treesmith.store import index, records
from treesmith.store.records import Tree
from treesmith.store.staging import Stage
from treesmith.store.store import Store

_OWN = ("layout", "sealed")  # what a store says of its own copy; the rest of a record is the same in both


def publish(store: Store, stage: Stage, original: Tree) -> None:
    """Make a staged root the tree that `original` is elsewhere, durably, without name and key: see `point`."""
    if original.sealed:
        stage.layout = store.backend.seal(stage)
    tree = Tree(records.fields(original) | {"layout": stage.layout}, f"{store.path}/trees/{stage.id}")
    records.write(f"{stage.home}/{records.FILE}", tree, durable=False)
    store.backend.flush(stage)
    with store.writing():
        os.rename(stage.home, tree.home)
        stage.published = True
        records.sync_folder(f"{store.path}/staging")
        records.sync_folder(f"{store.path}/trees")


def seal(store: Store, id: str) -> None:
    """A tree whose original was sealed since it was taken over. Nobody writes to it."""
    tree = store.read(id)
    store.backend.flush(tree)
    layout = store.backend.seal(tree)
    with store.writing():
        tree = store.read(id)
        tree.layout, tree.sealed = layout, True
        records.replace(tree)


def describe(store: Store, original: Tree) -> None:
    """Say of the tree what is said of `original`. The writers' lock is held."""
    tree = store.read(original.id)
    own = {field: getattr(tree, field) for field in _OWN}
    wanted = records.fields(original) | own
    if records.fields(tree) != wanted:
        records.replace(Tree(wanted, tree.home))


def point(folder: str, wanted: dict[str, str]) -> None:
    """Make names/ or keys/ this: name -> id. The writers' lock is held. One sync for all of them."""
    there = index.read(folder)
    for name in there.keys() - wanted.keys():
        index.discard(folder, name)
    for name, id in wanted.items():
        if there.get(name) != id:
            index.point(folder, name, id, durable=False)
    records.sync_folder(folder)
