"""Stores to strike at, what they are before and after a change, and what must hold in between."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import points
import pytest
import strike
from driver import CHANGES
from forest import content, opened, plant
from grow import make, step

from treesmith.backends.subvolumes import delete
from treesmith.compare import Entry
from treesmith.errors import Error
from treesmith.linux.remove import remove_tree
from treesmith.names import is_id
from treesmith.store import Store, Tree, create_store, open_store
from treesmith.store.prune import plan

# What could not be removed stays for the next one.
REMOVING = re.compile("unlink|rmdir|_SNAP_DESTROY|_SUBVOL_SETFLAGS, 0")
DRIVER = Path(__file__).with_name("driver.py")
Named = dict[str, tuple[list[Entry], str, bool]]  # name -> content, what the record says of it, pin


def forest(path: Path, backend: str) -> None:
    """A store with a bit of everything; `base` has descendants, `web` is writable, and there is some prey for prune."""
    store = create_store(str(path), backend)
    one = step(store, "one")
    two = step(store, "two", one)
    with store.stage() as stage:
        stage.fork(two)
        with opened(store, stage) as root:
            plant(root)
            (root / "holes").unlink()  # it takes long to read
            if backend == "btrfs":
                subvolumes().create_subvolume(str(root / "inner"))
                (root / "inner/file").write_text("in a subvolume of its own")
        base = store.publish(stage, "build", "base", key="three", steps=two.steps, sealed=True)
    step(store, "dead", step(store, "dying", two))
    web = store.snapshot(base, "web")
    with opened(store, web) as root:
        shutil.rmtree(root / "dir")
        (root / "dir").mkdir()
        (root / "dir/new").write_text("new")
    store.snapshot(web, "copy")
    store.snapshot(make(store, "alone"), "child")
    make(store, "alone")
    store.remove([store.find("child")])
    step(store, "below", store.find("alone"))


def mess(path: Path, backend: str) -> None:
    """The same, and what many deaths have left."""
    forest(path, backend)
    store = open_store(str(path))
    base = store.find("base")
    for number in range(2):
        die_forking(store, base)
        nameless = make(store, f"nameless-{number}")
        os.rename(f"{path}/names/nameless-{number}", f"{path}/names/.new")
        Path(path, f"staging/boot-{nameless.id}.lock").touch()
    os.symlink("../trees/0123456789abcdef", path / "names/ghost")
    os.symlink(f"../trees/{base.id}", path / "names/base@7")
    os.symlink("../trees/0123456789abcdef", path / "keys/ghost")
    Path(path, "locks/0123456789abcdef").touch()
    (path / "trash/0123456789abcdef/root/deep").mkdir(parents=True)


def die_forking(store: Store, tree: Tree) -> None:
    child = os.fork()
    if not child:
        try:
            store.stage().fork(tree)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def named(store: Store) -> Named:
    """What people see."""
    return {
        tree.name: (content(store, tree), f"{tree.kind} {tree.parent} {tree.sealed} {tree.labels}", tree.pin)
        for tree in store.trees()
        if isinstance(tree, Tree) and tree.name
    }


def look(path: Path) -> list[str]:
    return sorted(
        f"{folder.removeprefix(str(path))}/{name}"
        for folder, folders, files in os.walk(path)
        for name in (*folders, *files)
        if "/fs" not in folder and "/root" not in folder
    )


def tidy(store: Store) -> None:
    """Nothing lies about that no tree accounts for."""
    trees = [tree for tree in store.trees() if isinstance(tree, Tree)]
    ids = {tree.id for tree in trees}
    assert len(trees) == len(store.trees())
    for folder in ("staging", "trash"):
        assert os.listdir(f"{store.path}/{folder}") == []
    assert set(store.names().values()) <= ids
    assert sorted(os.listdir(f"{store.path}/names")) == sorted(store.names())
    assert {os.readlink(f"{store.path}/keys/{key}")[9:] for key in os.listdir(f"{store.path}/keys")} <= ids
    assert {entry for entry in os.listdir(f"{store.path}/locks") if is_id(entry)} <= ids
    assert {tree.kind for tree in trees if not tree.name} <= {"step"}
    assert all(store.by_key(tree.key) for tree in trees if tree.kind == "step")
    assert store.backend.orphans(trees, frozenset()) == []
    assert {tree.parent for tree in trees} <= ids | {None}


def empty(path: Path, backend: str) -> None:
    """A place for a store that can be duplicated."""
    if backend == "btrfs":
        subvolumes().create_subvolume(str(path))
        path.chmod(0o700)


def duplicate(store: Path, to: Path, backend: str) -> None:
    if backend != "btrfs":
        subprocess.run(["cp", "-a", "--reflink=auto", store, to], check=True)
        return
    calls = subvolumes()
    calls.create_snapshot(str(store), str(to), recursive=True)
    with calls.SubvolumeIterator(str(store)) as found:
        for path, _ in found:
            if calls.get_subvolume_read_only(f"{store}/{path}"):
                calls.set_subvolume_read_only(f"{to}/{path}", True)


def clear(path: Path, backend: str) -> None:
    if backend == "btrfs":
        delete(subvolumes(), str(path))
    remove_tree(str(path))


def subvolumes() -> Any:
    return pytest.importorskip("btrfsutil", reason="pip install -e '.[btrfs]'; ci/test does")


class Scene:
    """One change of one kind of store, before and after, and a copy of it to strike at."""

    def __init__(
        self,
        change: str,
        backend: str,
        ground: Path,
        folder: Path,
        make: Callable[[Path, str], None] = forest,
    ) -> None:
        """ground: where the stores lie. folder: for all else."""
        self.change, self.backend, self.ground, self.folder, self._make = change, backend, ground, folder, make

    def __call__(self) -> None:
        CHANGES[self.change](open_store(str(self.path)))

    def begin(self) -> None:
        self.path = self.place()
        self.prepare()
        self.before = named(open_store(str(self.path)))
        self()
        self.after = named(open_store(str(self.path)))

    def place(self) -> Path:
        """Make the first store. Returns where `prepare` will put its copies."""
        empty(self.ground / "fresh", self.backend)
        self._make(self.ground / "fresh", self.backend)
        return self.ground / "store"

    def prepare(self) -> None:
        clear(self.path, self.backend)
        duplicate(self.ground / "fresh", self.path, self.backend)

    def end(self) -> None:
        for path in (self.path, self.ground / "fresh"):
            clear(path, self.backend)

    def endure(self, fault: str, only: str = "", program: str = "") -> int:
        """Returns at how many points it was struck. only: see `points.each`."""
        hits = 0
        for blow in points.each(self, self.folder, self.prepare, fault, only, program):
            hits += blow.hit
            assert blow.hit or blow.status == 0, str(blow)
            try:
                self.check(blow)
            except Exception as error:
                raise AssertionError(f"{self.change}: {blow}") from error
        return hits

    def check(self, blow: strike.Blow) -> None:
        store = open_store(str(self.path))
        self.whole(store, settled=False)
        if blow.status == 1 and not REMOVING.search(blow.struck) and self.change not in ("remove", "prune", "recover"):
            # It failed and lived: it took back what it had made.
            assert blow.output
            assert not [entry for entry in os.listdir(f"{store.path}/staging") if not entry.endswith(".lock")]
        assert store.recover() == []
        self.whole(store, settled=True)
        tidy(store)
        once = look(self.path)
        assert store.recover() == []
        assert look(self.path) == once
        try:
            self()
        except Error as error:
            assert set(named(store)) == set(self.after), error  # it had gone through before
        self.same(named(store), self.after)
        tidy(store)
        if self.change == "prune":
            assert plan(store) == []

    def whole(self, store: Store, settled: bool) -> None:
        """Each tree as before or as after, and never fewer than both have."""
        found = named(store)
        for name, tree in found.items():
            assert self.like(tree, self.before.get(name)) or self.like(tree, self.after.get(name)), name
        assert set(self.before) & set(self.after) <= set(found)
        if self.change != "remove":
            assert set(found) in (set(self.before), set(self.after)) or self.change == "prune" or not settled

    def same(self, found: Named, expected: Named) -> None:
        assert set(found) == set(expected)
        for name, tree in found.items():
            assert self.like(tree, expected[name]), name

    @staticmethod
    def like(found: tuple[list[Entry], str, bool], expected: tuple[list[Entry], str, bool] | None) -> bool:
        """Ids and times of what is made anew differ from run to run."""
        if expected is None:
            return False
        (a, record, pin), (b, wanted, pinned) = found, expected
        plain = [[(e.path, e.type, e.mode, e.uid, e.gid, e.digest, e.links, e.xattrs) for e in each] for each in (a, b)]
        return plain[0] == plain[1] and pin == pinned and record.split()[0::2] == wanted.split()[0::2]
