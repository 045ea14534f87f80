"""SIGKILL after every call that changes a dataset, and a full pool at it; and SIGKILL at the store's own renames.

Afterwards each tree is there whole or not at all, the next writer clears up, and no dataset is left that is no tree's.
strace(1) cannot tell ZFS's calls apart: all are ioctls. So they are struck where they have names, in linux/zfs.py; and
the renames, by which the store says what is so, where the interpreter announces them to its audit hooks.
"""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import filesystems
import pytest
from forest import content, opened
from test_zfs import datasets, only_zfs
from woods import Silent

from treesmith.backends.zfs import Zfs
from treesmith.compare import Entry
from treesmith.errors import Error
from treesmith.linux.remove import remove_tree
from treesmith.linux.zfs import Zfs as Calls
from treesmith.migrate import migrate
from treesmith.store import Store, Tree, create_store, open_store
from treesmith.store.prune import Policy, apply, plan

pytestmark = only_zfs
CHANGING = {
    "lzc_create", "lzc_clone", "lzc_snapshot", "lzc_destroy", "lzc_destroy_snaps", "lzc_promote", "lzc_hold",
    "lzc_release",
}  # fmt: skip
FAULTS = ("after", "rename", "full")
SNAPSHOTS = Policy(older_than=0)


def base(store: Store) -> None:
    """web is writable and has a fork, both of a sealed tree."""
    with store.stage() as stage:
        stage.create()
        with opened(store, stage) as root:
            (root / "base").write_text("base")
        tree = store.publish(stage, "build", "base", sealed=True)
    web = store.snapshot(tree, "web")
    with opened(store, web) as root:
        (root / "web").write_text("web")
    store.snapshot(web, "copy")


def build(store: Store) -> None:
    with store.stage() as stage:
        stage.create()
        with opened(store, stage) as root:
            (root / "new").write_text("new")
        store.publish(stage, "build", "new", sealed=True)


def snapshot(store: Store) -> None:
    store.snapshot(store.find("base"), "new")


def snapshot_writable(store: Store) -> None:
    store.snapshot(store.find("web"), "new")


def seal(store: Store) -> None:
    store.seal(store.find("web"))


def rename(store: Store) -> None:
    store.rename("web", "new")


def remove(store: Store) -> None:
    store.remove([store.find("web")], recursive=True)


def prune(store: Store) -> None:
    failed = apply(store, plan(store, SNAPSHOTS), SNAPSHOTS)
    if failed:
        raise Error("not everything could be pruned", "\n".join(failed))


def lose(store: Store) -> None:
    """A record is gone, but not the tree's forks: its dataset goes, and what they need of it becomes theirs."""
    web = store.find("web")
    os.rename(web.home, f"{store.path}/trash/{web.id}")
    failed = store.sweep()
    if failed:
        raise Error("not all is swept", "\n".join(failed))


def blows(
    store: Store, change: Callable[[Store], None], prepare: Callable[[], None], faults: tuple[str, ...] = FAULTS
) -> Iterator[str]:
    for fault in faults:
        for number in count(1):
            prepare()
            if not struck(store.path, change, number, fault):
                break
            yield f"{fault} {number}"


def struck(path: str, change: Callable[[Store], None], number: int, fault: str) -> bool:
    """Make the change in a process of its own. False: it has fewer calls, and went through."""
    pid = os.fork()
    if pid:
        status = os.waitpid(pid, 0)[1]
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, 1, -signal.SIGKILL), code
        return code != 0
    left, real = [number], Calls._call

    def strike(here: bool, what: str) -> None:
        left[0] -= here
        if here and not left[0]:
            if fault == "full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), what)
            os.kill(os.getpid(), signal.SIGKILL)

    def call(self: Calls, name: str, *arguments: object, of: int = 0, what: str = "") -> None:
        if fault == "full":
            strike(name in CHANGING, what)
        real(self, name, *arguments, of=of, what=what)
        if fault == "after":
            strike(name in CHANGING, what)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if fault == "rename":
            strike(event == "os.rename", str(arguments[:1]))

    sys.addaudithook(hook)
    Calls._call = call  # type: ignore[method-assign]
    code = 2
    try:
        change(open_store(path))
        code = 1 if left[0] <= 0 else 0
    except (Error, OSError):
        code = 1
    finally:
        os._exit(code)


def seen(store: Store) -> dict[str, list[Entry]]:
    """Without times: what is made anew has its own."""
    trees = [tree for tree in store.trees() if isinstance(tree, Tree) and tree.name]
    return {tree.name: [(e.path, e.type, e.mode, e.digest) for e in content(store, tree)] for tree in trees}


CHANGES = (build, snapshot, snapshot_writable, seal, rename, remove, prune, lose)


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.__name__)
def test_every_call(store: Store, change: Callable[[Store], None], capsys: pytest.CaptureFixture[str]) -> None:
    base(store)

    def prepare() -> None:
        gone = ["new"] if change in (build, snapshot, snapshot_writable) else ["copy", "new", "web", "base"]
        for name in gone:  # one by one: a lost record is a lost lineage
            if store.named(name):
                store.remove([store.find(name)])
        if not store.named("base"):
            base(store)

    before = seen(store)
    change(store)
    assert store.recover() == []
    after = seen(store)
    hits = 0
    for blow in blows(store, change, prepare):
        hits += 1
        found = seen(store)
        assert all(tree in (before.get(name), after.get(name)) for name, tree in found.items()), blow
        assert set(before) & set(after) <= set(found), blow
        assert store.recover() == [], blow
        trees = {tree.id: tree for tree in store.trees()}
        assert {name.rpartition("/")[2] for name in datasets("filesystem")} == set(trees), blow
        try:
            change(store)
        except Error:
            pass  # it had gone through before
        assert seen(store) == after, blow
    with capsys.disabled():
        print(f" {hits} points", end="")
    assert hits >= 2 or change is rename


def test_every_call_of_a_move(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Here from elsewhere: the source stays as it is, and the next attempt goes on."""
    with filesystems.ext4(tmp_path) as ground:
        source = create_store(str(ground / "source"), "copy")
        base(source)
        before, path = seen(source), f"{os.path.dirname(store.path)}/target"

        def move(store: Store) -> None:
            migrate(store, "zfs", path, Silent())

        def prepare() -> None:
            if os.path.exists(path):
                keeper = Zfs(path)  # the move may have died before there was a store
                for orphan in keeper.orphans([], frozenset()):
                    keeper.clear(orphan)
            remove_tree(path)

        hits = 0
        for blow in blows(source, move, prepare, ("after", "full")):  # test_migrate_killed.py has the renames
            hits += 1
            assert seen(source) == before, blow
            try:
                move(source)
            except Error as error:
                assert "is there already" in str(error), blow  # it had gone through before
            target = open_store(path)
            assert seen(target) == before, blow
            assert target.recover() == [], blow
        prepare()
        source.backend.clear(source.path)
    with capsys.disabled():
        print(f" {hits} points", end="")
    assert hits >= 10
