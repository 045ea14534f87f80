"""Ways to damage a store."""

import os
from collections.abc import Callable
from pathlib import Path

from forest import opened
from grow import make, step

from treesmith.store import Stage, Store, Tree

NOBODY = "0123456789abcdef"


def grove(store: Store) -> None:
    """`base` of two steps, with the writable `web` and `other`, all with something of their own."""
    one = step(store, "one")
    base = make(store, "base", step(store, "two", one), key="three")
    for name in ("web", "other"):
        with opened(store, store.snapshot(base, name)) as root:
            (root / name).write_text(name)


def record(tree: Tree) -> Path:
    return Path(tree.home, "tree.json")


def garbage_record(store: Store) -> None:
    record(store.find("web")).write_text('{"version": 1, "id":')


def missing_record(store: Store) -> None:
    record(store.find("web")).unlink()


def garbage_layout(store: Store) -> None:
    path = record(store.find("web"))
    text = path.read_text()
    path.write_text(
        text[: text.index('"layout"')] + '"layout": {"layers": "../..", "sealed": "perhaps"},\n"steps": []}\n'
    )


def missing_root(store: Store) -> None:
    """As a person does it who deletes by hand."""
    tree = store.find("web")
    if store.backend.name == "overlay":
        os.rename(f"{store.path}/layers/{tree.layout['upper']}", f"{store.path}/cache/taken")
    else:
        os.rename(f"{tree.home}/root", f"{store.path}/cache/taken")


def linked_root(store: Store) -> None:
    missing_root(store)
    tree = store.find("web")
    above = f"{store.path}/layers/{tree.layout['upper']}" if store.backend.name == "overlay" else f"{tree.home}/root"
    os.symlink("/etc", above)


def name_to_nowhere(store: Store) -> None:
    os.symlink(f"../trees/{NOBODY}", f"{store.path}/names/ghost")


def name_out_of_the_store(store: Store) -> None:
    os.symlink(f"/etc/{store.find('web').id}", f"{store.path}/names/evil")


def name_that_is_a_file(store: Store) -> None:
    Path(store.path, "names/file").write_text("mine")


def name_with_a_strange_name(store: Store) -> None:
    os.symlink(f"../trees/{store.named('web')}", f"{store.path}/names/Not\nA name")


def names_are_gone(store: Store) -> None:
    for name in store.names():
        os.unlink(f"{store.path}/names/{name}")


def key_to_nowhere(store: Store) -> None:
    os.symlink(f"../trees/{NOBODY}", f"{store.path}/keys/ghost")


def key_of_another(store: Store) -> None:
    os.symlink(f"../trees/{store.find('web').id}", f"{store.path}/keys/wrong")


def key_is_gone(store: Store) -> None:
    os.unlink(f"{store.path}/keys/one")


def stray(store: Store) -> None:
    Path(store.path, "trees/notes.txt").write_text("mine")


def dead_staging(store: Store) -> None:
    stage = store.stage()
    stage.create()
    die(stage)


def die(stage: Stage) -> None:
    """As the end of a process lets go of everything."""
    for lock in (stage._lock, *stage._held):
        lock.close()


def open_to_others(store: Store) -> None:
    os.chmod(store.path, 0o755)


def folder_is_gone(store: Store) -> None:
    os.rmdir(f"{store.path}/trash")


# How, and a part of what check says.
MENDED: "dict[Callable[[Store], None], str]" = {
    garbage_record: "web",
    missing_record: "tree.json is missing",
    garbage_layout: "its layout",
    missing_root: "missing",
    linked_root: "missing",
    name_to_nowhere: "names/ghost",
    name_out_of_the_store: "names/evil",
    name_that_is_a_file: "names/file",
    name_with_a_strange_name: "names/Not",
    names_are_gone: "without a name",
    key_to_nowhere: "keys/ghost",
    key_of_another: "keys/wrong",
    key_is_gone: "run again",
    stray: "trees/notes.txt",
    dead_staging: "abandoned",
    open_to_others: "others can enter",
    folder_is_gone: "trash",
}
TREES = (garbage_record, missing_record, garbage_layout, missing_root, linked_root)  # what loses `web`
