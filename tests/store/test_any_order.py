"""Any order of changes, by any mix of hands, against a model in plain Python."""

import shutil
import tempfile
from contextlib import nullcontext
from pathlib import Path

import filesystems
import hypothesis.strategies as st
import pytest
from forest import opened
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from treesmith.errors import BusyError, Error
from treesmith.store import Tree, create_store
from treesmith.store.locks import Lock
from treesmith.store.prune import apply, plan

NAMES = st.sampled_from(["a", "b", "c", "d"])
FILES = st.sampled_from(["one", "two", "dir/three"])


class Model:
    """What a tree is: its files, its parent, whether it may be written."""

    def __init__(self, files: dict[str, str], parent: str | None, sealed: bool) -> None:
        self.files, self.parent, self.sealed, self.pin = files, parent, sealed, False


def read(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


class Forest(RuleBasedStateMachine):
    backend: str
    ground: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(dir=self.ground)
        self.store = create_store(f"{self.folder}/store", self.backend)
        self.models: dict[str, Model] = {}  # id ->
        self.names: dict[str, str] = {}
        self.locks: dict[str, tuple[Lock, bool]] = {}  # id -> lock, exclusive
        self.written = 0

    def teardown(self) -> None:
        for lock, _ in self.locks.values():
            lock.close()
        for tree in self.store.trees():
            self.store.backend.clear(tree.home)
        self.store.backend.clear(self.store.path)
        shutil.rmtree(self.folder)

    def named_below(self, id: str) -> set[str]:
        found: set[str] = set()
        for child, model in self.models.items():
            if model.parent == id:
                found |= ({child} if child in self.names.values() else set()) | self.named_below(child)
        return found

    def below(self, id: str) -> set[str]:
        return {
            each for child, model in self.models.items() if model.parent == id for each in {child, *self.below(child)}
        }

    def pick(self, name: str) -> Tree | None:
        return self.store.find(name) if name in self.names else None

    @initialize()
    def plant(self) -> None:
        """Without trees most rules find nothing to do."""
        self.build("a", "a", "")
        self.snapshot("a", "b")
        self.snapshot("b", "c")

    @rule(name=NAMES, parent=NAMES, text=st.text("xyz", max_size=3))
    def build(self, name: str, parent: str, text: str) -> None:
        source = self.pick(parent)
        source = source if source and source.sealed else None
        if source and self.exclusive(source.id):
            return
        with self.store.stage() as stage:
            if source:
                stage.fork(source)
            else:
                stage.create()
            with opened(self.store, stage, "ephemeral") as root:
                (root / "made").write_text(text)
            tree = self.store.publish(stage, "build", name, sealed=True)
        self.models[tree.id] = Model(
            {**(self.models[source.id].files if source else {}), "made": text}, tree.parent, True
        )
        old = self.names.get(name)
        if old:
            # The new tree counts as named: if it descends from the old one, that one stays.
            self.names[name] = tree.id
            busy = {old, *self.below(old)} & set(self.locks)
            if self.named_below(old) or busy or any(self.models[id].pin for id in {old, *self.below(old)}):
                number = max(
                    (int(each.partition("@")[2]) for each in self.names if each.startswith(f"{name}@")), default=0
                )
                self.names[f"{name}@{number + 1}"] = old
            else:
                for id in {old, *self.below(old)}:
                    del self.models[id]
        self.names[name] = tree.id

    def exclusive(self, id: str) -> bool:
        return id in self.locks and self.locks[id][1]

    @rule(source=NAMES, name=NAMES)
    def snapshot(self, source: str, name: str) -> None:
        tree = self.pick(source)
        if not tree:
            return
        try:
            made = self.store.snapshot(tree, name)
        except BusyError:
            assert tree.id in self.locks
        except Error:
            assert name in self.names
        else:
            assert name not in self.names
            self.models[made.id] = Model(dict(self.models[tree.id].files), tree.id, False)
            self.names[name] = made.id

    @rule(name=NAMES, file=FILES)
    def write(self, name: str, file: str) -> None:
        tree = self.pick(name)
        if not tree or tree.sealed or tree.id in self.locks:
            return
        self.written += 1
        with opened(self.store, tree) as root:
            (root / file).parent.mkdir(exist_ok=True)
            (root / file).write_text(str(self.written))
        self.models[tree.id].files[file] = str(self.written)

    @rule(name=NAMES)
    def empty_a_folder(self, name: str) -> None:
        tree = self.pick(name)
        if not tree or tree.sealed or tree.id in self.locks:
            return
        with opened(self.store, tree) as root:
            shutil.rmtree(root / "dir", ignore_errors=True)
            (root / "dir").mkdir()
        self.models[tree.id].files.pop("dir/three", None)

    @rule(name=NAMES)
    def seal(self, name: str) -> None:
        tree = self.pick(name)
        if not tree:
            return
        try:
            assert self.store.seal(tree).sealed
            self.models[tree.id].sealed = True
        except BusyError:
            assert tree.id in self.locks

    @rule(old=NAMES, new=NAMES)
    def rename(self, old: str, new: str) -> None:
        try:
            self.store.rename(old, new)
        except Error:
            assert old not in self.names or new in self.names
        else:
            self.names[new] = self.names.pop(old)

    @rule(name=NAMES, recursive=st.booleans())
    def remove(self, name: str, recursive: bool) -> None:
        tree = self.pick(name)
        if not tree:
            return
        going = {tree.id, *self.below(tree.id)}
        try:
            gone = {each.id for each in self.store.remove([tree], recursive)}
        except BusyError:
            assert going & set(self.locks)
        except Error:
            pinned = any(self.models[id].pin for id in going)
            assert pinned or (self.named_below(tree.id) and not recursive)
        else:
            assert gone == going
            for id in going:
                del self.models[id]
            self.names = {name: id for name, id in self.names.items() if id not in going}

    @rule(name=NAMES, exclusive=st.booleans())
    def hold(self, name: str, exclusive: bool) -> None:
        tree = self.pick(name)
        if tree and tree.id not in self.locks:
            self.locks[tree.id] = self.store.lock(tree.id, exclusive), exclusive

    @precondition(lambda self: self.locks)
    @rule()
    def let_go(self) -> None:
        self.locks.popitem()[1][0].close()

    @rule(name=NAMES, on=st.booleans())
    def pin(self, name: str, on: bool) -> None:
        tree = self.pick(name)
        if tree:
            self.store.update(tree, pin=on)
            self.models[tree.id].pin = on

    @rule(name=NAMES)
    def throwaway(self, name: str) -> None:
        tree = self.pick(name)
        if not tree:
            return
        try:
            with self.store.throwaway(tree) as stage, opened(self.store, stage, "ephemeral") as root:
                assert read(root) == self.models[tree.id].files
                (root / "lost").write_text("")
        except BusyError:
            assert self.exclusive(tree.id)

    @rule()
    def prune(self) -> None:
        planned = plan(self.store)
        assert apply(self.store, planned) == []
        planned = [removal for removal in planned if " layers of " not in removal.what]
        for removal in planned:
            assert removal.tree
            model = self.models.pop(removal.tree)
            assert not model.pin
            assert removal.tree not in self.locks
            assert not self.named_below(removal.tree)
        gone = {removal.tree for removal in planned}
        assert all("@" in name for name, id in self.names.items() if id in gone)
        self.names = {name: id for name, id in self.names.items() if id not in gone}
        assert plan(self.store) == []

    @rule()
    def recover(self) -> None:
        assert self.store.recover() == []

    @invariant()
    def everything_is_there(self) -> None:
        assert self.store.names() == self.names
        trees = {tree.id: tree for tree in self.store.trees()}
        assert trees.keys() == self.models.keys()
        for id, model in self.models.items():
            tree = trees[id]
            assert isinstance(tree, Tree)
            assert (tree.parent, tree.sealed, tree.pin) == (model.parent, model.sealed, model.pin)
            with opened(self.store, tree, "ro") as root:
                assert read(root) == model.files


@pytest.mark.parametrize(("backend", "filesystem"), [("overlay", ""), ("copy", ""), ("btrfs", "btrfs")])
def test_any_order(backend: str, filesystem: str, tmp_path: Path) -> None:
    if backend == "btrfs":
        pytest.importorskip("btrfsutil", reason="pip install -e '.[btrfs]'; ci/test does")
    with filesystems.GROUND[filesystem](tmp_path) if filesystem else nullcontext(tmp_path) as ground:
        machine = type(backend.title(), (Forest,), {"backend": backend, "ground": ground})
        drive(machine)


def drive(machine: type[Forest]) -> None:
    effort = settings(
        max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(machine, settings=effort)
