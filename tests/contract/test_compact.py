"""Layers that nothing needs apart become one, and every tree keeps what it has."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from forest import content, opened, plant
from running import runnable, running

import treesmith.store.compact
from treesmith.compare import differences
from treesmith.store import Store, Tree, open_store
from treesmith.store.compact import compact, compactions
from treesmith.store.prune import apply, plan

pytestmark = pytest.mark.parametrize("ground", [("overlay", "ext4"), ("overlay", "xfs")], ids="@".join, indirect=True)


def planted(store: Store) -> Tree:
    with store.stage() as stage:
        stage.create()
        with opened(store, stage) as root:
            plant(root)
            (root / "holes").unlink()  # it takes long to read
        return store.publish(stage, "build", "base", sealed=True)


def layers(store: Store) -> int:
    return len(os.listdir(f"{store.path}/layers"))


def compacted(store: Store) -> int:
    """Do it, and look that nothing shows. Returns how many layers there are less."""
    before = {tree.id: (tree.name, content(store, tree)) for tree in store.trees() if isinstance(tree, Tree)}
    count = layers(store)
    assert compact(store) == []
    assert store.sweep() == []
    for tree in store.trees():
        assert isinstance(tree, Tree)
        name, entries = before.pop(tree.id)
        found = [str(difference) for difference in differences(entries, content(store, tree))]
        assert not found, name
        with opened(store, tree, "ro") as root:
            for folder, _, files in os.walk(root):
                assert not [at for at in (folder, *(f"{folder}/{file}" for file in files)) if marks(at)]
    assert not before
    assert compactions(store, store.trees(), ()) == []
    assert os.listdir(f"{store.path}/staging") == []
    return count - layers(store)


def marks(path: str) -> list[str]:
    return [name for name in os.listxattr(path, follow_symlinks=False) if "overlay" in name]


def remove(root: Path, name: str) -> None:
    shutil.rmtree(root / name)


def remake(root: Path, name: str) -> None:
    shutil.rmtree(root / name)
    (root / name).mkdir(0o711)
    (root / name / "new").write_text("new")


def replace(root: Path, name: str) -> None:
    shutil.rmtree(root / name)
    (root / name).write_text("a file now")


def change(root: Path, name: str) -> None:
    (root / name / "changed").write_text("changed")
    os.chown(root / name, 12, 34)
    os.setxattr(root / name, "user.note", b"kept")
    (root / name / "linked").unlink(missing_ok=True)
    os.link(root / name / "changed", root / name / "linked")
    for entry in list((root / name).iterdir())[:1]:
        if entry.is_file() and entry.name != "changed":
            entry.unlink()


@pytest.mark.parametrize("first", [remove, remake, replace, change])
@pytest.mark.parametrize("second", [None, remove, remake, replace, change])
def test_what_two_generations_did_to_a_directory(
    store: Store, first: Callable[[Path, str], None], second: Callable[[Path, str], None] | None
) -> None:
    """Above a layer that stays, and down to the lowest."""
    base = planted(store)
    upper = base
    for number, act in enumerate((first, second, None)):
        upper = store.snapshot(upper, f"n{number}")
        with opened(store, upper) as root:
            if act and (root / "dir").is_dir():
                act(root, "dir")
            elif act:
                (root / "dir").unlink(missing_ok=True)
                (root / "dir").mkdir()
                (root / "dir/again").touch()
            (root / f"in-{number}").touch()
        upper = store.seal(upper)
    store.snapshot(base, "beside")  # so the base's layer is needed apart
    for number in (0, 1):
        store.update(store.find(f"n{number}"), parent=None)
    store.update(upper, parent=None)
    store.remove([store.find("n0"), store.find("n1")])
    assert compacted(store) == 2
    store.remove([store.find("beside"), store.find("base")])
    assert compacted(store) == 1
    with opened(store, store.snapshot(store.find("n2"), "after")) as root:
        (root / "dir").is_dir() and shutil.rmtree(root / "dir")
        (root / "etc/motd").write_text("changed")
    assert content(store, store.find("n2")) != content(store, store.find("after"))


@pytest.mark.parametrize("seed", range(6))
def test_whatever_was_done(store: Store, seed: int) -> None:
    dice = random.Random(seed)
    trees = [planted(store)]
    for number in range(14):
        source = store.read(dice.choice(trees[-4:]).id)
        tree = store.snapshot(store.find(f"@{source.id}"), f"n{number}")
        store.update(tree, parent=None)  # so any can go
        with opened(store, tree) as root:
            for _ in range(6):
                scramble(dice, root)
        trees.append(store.seal(tree) if dice.random() < 0.4 else tree)
    for tree in dice.sample(trees, 9):
        store.remove([store.find(f"@{tree.id}")])
    assert compacted(store) > 0


def scramble(dice: random.Random, root: Path) -> None:
    """Some change, in a small set of names so that they meet."""
    path = root
    for _ in range(dice.randrange(1, 4)):
        path /= dice.choice("abc")
        if path.is_symlink() or not path.is_dir():
            break
    if path.is_dir():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
    choice = dice.randrange(5)
    if choice == 0:
        path.mkdir(0o750)
    elif choice == 1:
        (path / "a/b").mkdir(parents=True)
        (path / "a/b/c").write_text(str(dice.random()))
    elif choice == 2:
        path.write_text(str(dice.random()))
        os.setxattr(path, "user.note", b"kept")
    elif choice == 3:
        os.symlink("nowhere", path)


def test_a_tree_in_use_keeps_its_layers(store: Store, tmp_path: Path) -> None:
    tree = runnable(store, tmp_path)
    for number in range(3):
        store.remove([store.snapshot(store.find("tree"), f"gone-{number}")])
    with running(store, tree, "echo up; exec sleep 1000"):
        count, layout = layers(store), store.find("tree").layout
        assert compact(store) == []
        assert (layers(store), store.find("tree").layout) == (count, layout)
    assert compacted(store) == 2


def test_a_copy_on_a_throwaway_keeps_its_layers(store: Store) -> None:
    base = planted(store)
    tree = store.seal(store.snapshot(base, "tree"))
    store.update(tree, parent=None)
    store.remove([base])
    with store.throwaway(tree) as stage:
        assert compact(store) == []
        assert store.sweep() == []
        with opened(store, stage) as root:
            assert (root / "etc/motd").read_text() == "hello\n"
    compacted(store)


def test_another_prune_comes_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.snapshot(planted(store), "tree")
    for number in range(2):
        with opened(store, store.find("tree")) as root:
            (root / str(number)).touch()
        store.remove([store.snapshot(store.find("tree"), "gone")])
    before = content(store, store.find("tree"))
    found = compactions(store, store.trees(), ())
    assert found and compact(store) == [] and store.sweep() == []
    monkeypatch.setattr(treesmith.store.compact, "compactions", lambda *_: found)
    assert compact(store) == []
    assert not list(differences(before, content(store, store.find("tree"))))
    assert store.sweep() == []


def test_prune_says_it_first(store: Store) -> None:
    base = planted(store)
    tree = store.snapshot(base, "tree")
    with opened(store, tree) as root:
        (root / "big").write_bytes(os.urandom(1 << 20))
    store.remove([store.snapshot(tree, "gone")])
    with opened(store, store.find("tree")) as root:
        (root / "big").unlink()
    store.remove([store.snapshot(store.find("tree"), "gone")])
    removals = plan(store)
    (removal,) = removals
    assert (removal.what, removal.tree) == ("2 layers of tree", "")
    assert removal.bytes is not None and 1 << 20 <= removal.bytes < 1 << 21
    before = layers(store)
    assert apply(store, removals) == []
    assert layers(store) == before - 1
    assert plan(open_store(store.path)) == []


def test_a_layer_that_shares_files_with_one_that_stays(store: Store) -> None:
    """As after a kill: some records name the new layer, others the old ones; and it can be done again."""
    base = planted(store)
    one = store.seal(store.snapshot(base, "one"))
    two = store.snapshot(one, "two")
    for tree in (one, two):
        store.update(tree, parent=None)
    store.remove([base])
    with store.lock(two.id):
        (compaction,) = compactions(store, store.trees(), ())
        with store.stage() as stage:
            compaction.make(stage.id)
            layout = compaction.after(stage.id, one.layout)
            store.update(store.find("one"), layout=layout)
    assert compaction.after("x", {"layers": [], "upper": None}) is None
    assert compacted(store) > 0
