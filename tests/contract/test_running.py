"""A snapshot of a tree that runs: of one point in time, with all that was deleted gone, and what runs goes on."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from forest import content, opened
from launching import wait_for
from running import runnable, running

from treesmith.compare import differences
from treesmith.errors import BusyError, EndedError
from treesmith.sandbox import cgroup, leftovers, standstill
from treesmith.store import Store, Tree

# Each file is written whole and after the other: at no time is /second ahead of /first, or more than one behind.
COUNTING = "n=0; while :; do n=$((n+1)); echo $n > /a; mv /a /first; echo $n > /b; mv /b /second; done"


@pytest.fixture
def tree(store: Store, tmp_path: Path) -> Tree:
    return runnable(store, tmp_path)


def test_it_is_what_the_source_was(store: Store, tree: Tree) -> None:
    """Whiteouts, opaque directories, links and attributes that only the running tree has."""
    script = (
        "rm -r /dir; mkdir /dir; touch /dir/new; rm /etc/removed; echo changed > /etc/motd; chmod 4711 /setuid;"
        "echo one > /one; ln /one /two; mkfifo /pipe; rm -r /sticky; echo up; exec sleep 1000"
    )
    stood: list[float] = []
    with running(store, tree, script):
        snapshot = store.snapshot(tree, "snapshot", stood=stood.append)
        assert snapshot.parent == tree.id
        assert not cgroup.is_frozen(leftovers.running(tree.id) or "")
    assert bool(stood) == (store.backend.traits.live == "freeze")
    seen = content(store, snapshot)
    assert not [str(found) for found in differences(content(store, store.find("tree")), seen)]
    with opened(store, snapshot, "ro") as root:
        assert os.listdir(root / "dir") == ["new"]
        assert not (root / "sticky").exists() and not (root / "etc/removed").exists()
        assert (root / "one").stat().st_ino == (root / "two").stat().st_ino
    with opened(store, store.find("tree")) as root:
        (root / "dir/new").unlink()
    assert not list(differences(seen, content(store, snapshot)))


def test_it_is_of_one_point_in_time_and_the_source_goes_on(store: Store, tree: Tree) -> None:
    with running(store, tree, f"echo 0 > /first; echo 0 > /second; echo up; {COUNTING}") as process:
        first, found = 0, []
        for number in range(4):
            # A loaded machine may let it do nothing for a while.
            wait_for("more", lambda seen=first: int(Path(f"/proc/{process.pid}/root/first").read_text()) > seen)
            snapshot = store.snapshot(tree, f"number-{number}")
            with opened(store, snapshot, "ro") as root:
                first, second = (int((root / name).read_text()) for name in ("first", "second"))
            assert second <= first <= second + 1
            found.append(first)
        assert found == sorted(set(found))  # each saw more than the one before


def test_what_was_frozen_stays_so(store: Store, tree: Tree) -> None:
    if store.backend.traits.live == "atomic":
        pytest.skip("nothing is frozen here")
    stood: list[float] = []
    with running(store, tree, "echo up; exec sleep 1000") as process:
        cgroup.freeze(process.cgroup, True)
        store.snapshot(tree, "snapshot", stood=stood.append)
        assert cgroup.is_frozen(process.cgroup)
        assert not stood


def test_what_ends_just_then(store: Store, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found running, and gone when it is to be frozen."""
    if store.backend.traits.live == "atomic":
        pytest.skip("nothing is frozen here")
    lock, asked = store.lock(tree.id, exclusive=True), []

    def running(id: str) -> str:
        asked.append(id)
        lock.close()
        return f"{cgroup.base()}/gone"

    monkeypatch.setattr(leftovers, "running", running)
    snapshot = store.snapshot(tree, "snapshot")
    assert asked == [tree.id]
    assert not list(differences(content(store, tree), content(store, snapshot)))


@pytest.mark.parametrize("what", ["ends", "is thawed", "ends, and files go"])
def test_what_does_not_stand_still(store: Store, tree: Tree, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is copied: it is copied again, as what it is then."""
    if store.backend.traits.live == "atomic":
        pytest.skip("nothing is frozen here")
    runs, kinds, fork = ExitStack(), list[bool](), store.backend.fork
    process = runs.enter_context(running(store, tree, "echo up; touch /new; exec sleep 1000"))

    def disturbed(*words: object, running: bool = False) -> object:
        found = fork(*words, running=running)  # type: ignore[arg-type]
        kinds.append(running)
        if len(kinds) == 1:
            if what == "is thawed":
                cgroup.freeze(process.cgroup, False)
            else:
                runs.close()
            if what == "ends, and files go":
                raise FileNotFoundError(2, "No such file or directory")
        return found

    with runs:
        wait_for("the file", lambda: os.path.lexists(f"/proc/{process.pid}/root/new"))
        monkeypatch.setattr(store.backend, "fork", disturbed)
        snapshot = store.snapshot(tree, "snapshot")
        assert kinds == [True, what == "is thawed"]
        with opened(store, snapshot, "ro") as root:
            assert (root / "new").exists()
    assert store.recover() == []


def test_what_has_ended_runs_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its note is there still; and another's, that never had a cgroup."""
    monkeypatch.setattr(leftovers.ids, "notes", lambda: ["/treesmith-gone\nended\n1 0", "\nwithout\n1 0"])
    with pytest.raises(EndedError):
        leftovers.running("ended")
    assert leftovers.running("nobody") is None
    assert leftovers.running("without") == ""


def test_what_is_mounted_can_be_snapshotted_if_the_filesystem_can(store: Store, tree: Tree) -> None:
    from treesmith.store import mounted, mounts

    place = mounts.mount(store, tree)
    try:
        Path(place, "new").touch()
        if store.backend.traits.live == "freeze":
            with pytest.raises(BusyError, match="it is mounted on"):
                store.snapshot(tree, "snapshot")
        else:
            with opened(store, store.snapshot(tree, "snapshot"), "ro") as root:
                assert (root / "new").exists()
    finally:
        mounts.unmount(mounted.find(store, tree.name))


def test_a_source_that_ends_and_changes_meanwhile(store: Store, tree: Tree) -> None:
    """Then what the copy shares with it may be gone: it is never published."""
    with store.stage() as stage:
        with running(store, tree, "echo up; exec sleep 1000"):
            stage.fork(tree)
        store.remove([store.find("tree")])
        with pytest.raises(BusyError, match="changed while it was copied"):
            store.publish(stage, "snapshot", "snapshot")
    assert sorted(store.names()) == ["base"]
    assert store.recover() == []


def test_a_source_that_ends_while_it_stands_still(store: Store, tree: Tree) -> None:
    if store.backend.traits.live == "atomic":
        pytest.skip("nothing is frozen here")
    with running(store, tree, "echo up; exec sleep 1000") as process:
        with standstill.Standstill(tree.id, process.cgroup) as still:
            still.check()
            process.close()
            with pytest.raises(BusyError, match="ended or thawed"):
                still.check()
        with pytest.raises(BusyError, match="just ended"):
            standstill.Standstill(tree.id, f"{cgroup.base()}/treesmith-none")
    assert not os.listdir(standstill.RUN)


def test_a_tree_that_is_being_changed_is_busy(store: Store, tree: Tree) -> None:
    with store.lock(tree.id, exclusive=True), pytest.raises(BusyError):
        store.snapshot(tree, "snapshot")
