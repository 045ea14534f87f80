"""Stores to strike at, what they are before and after a change, and what must hold in between."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import strike
from forest import content, opened, plant
from grow import make, step

from treesmith.compare import Entry
from treesmith.store import Store, Tree, create_store, open_store
from treesmith.store.prune import plan

DRIVER = Path(__file__).with_name("kill") / "driver.py"
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


def mess(path: Path, backend: str) -> None:
    """The same, and what many deaths have left."""
    forest(path, backend)
    store = open_store(str(path))
    base = store.find("base")
    for number in range(2):
        store.stage().fork(base)  # never closed: the lock goes with the object
        nameless = make(store, f"nameless-{number}")
        os.rename(f"{path}/names/nameless-{number}", f"{path}/names/.new")
        Path(path, f"staging/boot-{nameless.id}.lock").touch()
    os.symlink("../trees/0123456789abcdef", path / "names/ghost")
    os.symlink(f"../trees/{base.id}", path / "names/base@7")
    os.symlink("../trees/0123456789abcdef", path / "keys/ghost")
    Path(path, "locks/0123456789abcdef").touch()
    (path / "trash/0123456789abcdef/root/deep").mkdir(parents=True)


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
    assert set(os.listdir(f"{store.path}/locks")) <= ids | {"store"}
    assert {tree.kind for tree in trees if not tree.name} <= {"step"}
    assert all(store.by_key(tree.key) for tree in trees if tree.kind == "step")
    assert store.backend.orphans(trees, frozenset()) == []
    assert {tree.parent for tree in trees} <= ids | {None}


class Scene:
    """One change of one kind of store, before and after, and a copy of it to strike at."""

    def __init__(self, change: str, backend: str, folder: Path, make: Callable[[Path, str], None] = forest) -> None:
        self.change, self.backend, self.folder, self._make = change, backend, folder, make
        self.env = {"PYTHONPATH": os.pathsep.join(sys.path)}

    def begin(self) -> None:
        self.path = self.place()
        self.command = [sys.executable, "-B", str(DRIVER), str(self.path), self.change]
        self.prepare()
        self.before = named(open_store(str(self.path)))
        subprocess.run(self.command, env={**os.environ, **self.env}, check=True)
        self.after = named(open_store(str(self.path)))

    def place(self) -> Path:
        """Make the first store. Returns where `prepare` will put its copies."""
        self._make(self.folder / "fresh", self.backend)
        return self.folder / "store"

    def prepare(self) -> None:
        if self.path.exists():
            Store(str(self.path), "copy").backend.clear(str(self.path))
        subprocess.run(["cp", "-a", "--reflink=auto", self.folder / "fresh", self.path], check=True)

    def endure(self, fault: str, calls: Sequence[str] = strike.CALLS) -> int:
        """Returns at how many points it was struck."""
        hits = 0
        for blow in strike.each(self.command, self.folder, self.prepare, fault, calls, self.env):
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
        if blow.status == 1 and "unlink" not in blow.calls and self.change not in ("remove", "prune", "recover"):
            # It failed and lived: it took back what it had made.
            assert blow.output
            assert not [entry for entry in os.listdir(f"{store.path}/staging") if not entry.endswith(".lock")]
        assert store.recover() == []
        self.whole(store, settled=True)
        tidy(store)
        once = look(self.path)
        assert store.recover() == []
        assert look(self.path) == once
        done = subprocess.run(self.command, env={**os.environ, **self.env}, check=False, capture_output=True, text=True)
        again = named(store)
        if done.returncode:
            assert set(again) == set(self.after), done.stdout  # it had gone through before
        self.same(again, self.after)
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
