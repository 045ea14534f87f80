"""From staging/ to trees/, durably; and changes of what is published."""

import os
import time

from treesmith.errors import Error, NotFoundError
from treesmith.names import check_name
from treesmith.store import index, locks, records
from treesmith.store.records import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from treesmith.store.staging import Stage
    from treesmith.store.store import Store


def publish(
    store: "Store",
    stage: "Stage",
    kind: str,
    name: str,
    key: str,
    recipe: "dict[str, Any] | None",
    steps: "list[dict[str, Any]]",
    launch: "dict[str, Any]",
    labels: "dict[str, str]",
    sealed: bool,
    replace: bool,
    flush: bool,
) -> Tree:
    """See Store.publish. The order: data and record durable; the directory's rename; the name last.

    Each sync is a commit of the filesystem's journal, unless the one before it has paid for both: so names that are new
    come between the rename and its syncs, and what keeps the root's own names after the record's sync.
    """
    if name:
        check_name(name)
    if sealed:
        stage.layout = store.backend.seal(stage)
    record = {
        "id": stage.id, "kind": kind, "parent": stage.source, "key": key, "recipe": recipe, "steps": steps,
        "called": name, "created": int(time.time()), "sealed": sealed, "launch": launch, "labels": labels,
        "pin": False, "layout": stage.layout,
    }  # fmt: skip
    tree = Tree(record, f"{store.path}/trees/{stage.id}", name)
    records.write(f"{stage.home}/{records.FILE}", tree, durable=not flush)
    if flush:
        store.backend.flush(stage)
    else:
        store.backend.keep(stage)
        records.sync_folder(stage.home)
    with store.writing():
        stage.check()
        old = store.named(name) if name else ""
        if old and not replace:
            raise name_taken(name)
        lock = locks.attempt(f"{store.path}/locks/{tree.id}", exclusive=False)
        if lock:
            stage.hold(lock)
        os.rename(stage.home, tree.home)
        stage.published = True
        try:
            links = {"keys": key, "names": name if not old else ""}
            new = {folder: link for folder, link in links.items() if link}
            for folder, link in new.items():
                index.point(f"{store.path}/{folder}", link, tree.id, durable=False)
            for folder in ("staging", "trees", *new):
                records.sync_folder(f"{store.path}/{folder}")
            dropped = _take_name(store, tree, name, old) if old else False
        except BaseException:
            stage.close(settled=False)
            raise
    if dropped:
        store.sweep()
    return tree


def _take_name(store: "Store", tree: Tree, name: str, old: str) -> bool:
    """Point `name` at `tree`. What had it becomes NAME@N if somebody still needs it, else trash: then True."""
    from treesmith.store.remove import supersede

    names = f"{store.path}/names"
    going = supersede(store, name, old, tree.id)
    try:
        if going:
            index.remember(names, old)
        index.point(names, name, tree.id)
        if going and not going.go():
            index.discard(names, index.OLD)
        return going is not None
    finally:
        if going:
            going.close()


def seal(store: "Store", id: str) -> Tree:
    """See Store.seal."""
    with store.lock(id, exclusive=True):
        tree = store.read(id)
        if tree.sealed:
            return tree
        from treesmith.store.clean import clean_tree

        clean_tree(store.backend, tree)
        store.backend.flush(tree)
        layout = store.backend.seal(tree)
        with store.writing():
            tree = store.read(id)
            tree.layout, tree.sealed = layout, True
            records.replace(tree)
    return tree


def rename(store: "Store", old: str, new: str) -> Tree:
    """See Store.rename."""
    check_name(new)
    names = f"{store.path}/names"
    with store.writing():
        tree = store.find(old)
        if not tree.name:
            raise NotFoundError(f"{old} has no name to change")
        if store.named(new):
            raise name_taken(new)
        os.rename(f"{names}/{tree.name}", f"{names}/{new}")
        records.sync_folder(names)
        tree.name = new
    return tree


def update(store: "Store", id: str, fields: "dict[str, Any]") -> Tree:
    """See Store.update."""
    with store.writing():
        tree = store.read(id)
        for field, value in fields.items():
            setattr(tree, field, value)
        records.replace(tree)
    return tree


def name_taken(name: str) -> Error:
    return Error(f"there is a tree {name} already", hint=f"choose another name, or remove it: treesmith rm {name}")
