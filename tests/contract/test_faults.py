"""A root that is not as its record says is found, and put out of the way without loss, on every backend."""

import os
import subprocess
from pathlib import Path

import damage
from forest import content, opened

from treesmith.compare import differences
from treesmith.store import Store
from treesmith.store.check import check
from treesmith.store.repair import repair


def test_whole_roots_have_no_fault(store: Store) -> None:
    damage.grove(store)
    assert [store.backend.faults(tree) for tree in store.trees()] == [[]] * 5
    assert check(store.path).damage == []


def test_a_layout_of_garbage(store: Store) -> None:
    damage.grove(store)
    tree = store.find("web")
    for layout in ({}, {"layers": None, "upper": 1, "sealed": 1}, {"layers": ["../../etc"], "sealed": None}):
        tree.layout = layout
        assert bool(store.backend.faults(tree)) == (store.backend.name != "copy")


def test_a_root_that_is_gone(store: Store) -> None:
    damage.grove(store)
    tree = store.find("web")
    others = {name: content(store, store.find(name)) for name in ("base", "other")}
    if store.backend.name == "zfs":
        store.backend.clear(f"{store.backend._parent}/{tree.id}")
    elif store.backend.name == "btrfs":
        subprocess.run(["btrfs", "-q", "subvolume", "delete", f"{tree.home}/root"], check=True)
        os.mkdir(f"{tree.home}/root")
        assert store.backend.faults(tree) == ["its root is no subvolume"]
        os.rmdir(f"{tree.home}/root")
    else:
        damage.missing_root(store)
    assert store.backend.faults(tree)
    done, stuck, report = repair(store.path)
    assert done
    assert not stuck
    assert report.damage == []
    assert set(store.names()) == set(others)
    for name, before in others.items():
        assert not list(differences(before, content(store, store.find(name))))
    empty(store)


def test_a_damaged_record_takes_its_root_along(store: Store) -> None:
    """And from then on what others leave is reclaimed again, and nothing of it."""
    damage.grove(store)
    tree = store.find("web")
    damage.garbage_record(store)
    if not store.backend.orphans([each for each in store.trees() if hasattr(each, "layout")], frozenset()):
        assert os.path.isdir(f"{tree.home}/root")
    repair(store.path)
    assert check(store.path).damage == []
    store.recover()
    if store.backend.name == "zfs":
        with_root = f"{store.backend._parent}/quarantine-{tree.id}"
        assert store.backend._calls.exists(with_root)
    else:
        held = [path for path in Path(store.path, "quarantine").rglob("web") if path.is_file()]
        assert [path.read_text() for path in held] == ["web"]
    with opened(store, store.find("other")) as root:
        assert (root / "other").read_text() == "other"
    empty(store)


def empty(store: Store) -> None:
    for entry in Path(store.path, "quarantine").iterdir():
        if entry.suffix == ".why":
            entry.unlink()
        else:
            store.backend.clear(str(entry))
    if store.backend.name == "zfs":
        from treesmith.run import output

        for name in output(("zfs", "list", "-H", "-r", "-o", "name", store.backend._parent)).split():
            if "/quarantine-" in name:
                store.backend.clear(name)
