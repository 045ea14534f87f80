"""What only ZFS has: snapshots that bind a source to its forks, and datasets that are busy. Runs in the guest."""

import errno
import os
import subprocess
from itertools import permutations
from pathlib import Path

import pytest
from forest import opened
from grow import make

import treesmith.backends.zfs
from treesmith.store import Store

only_zfs = [
    pytest.mark.parametrize("ground", [("zfs", "zfs")], ids="@".join, indirect=True),
    pytest.mark.skipif(not os.path.exists("/dev/zfs"), reason="no ZFS here: see tests/guest"),
]
pytestmark = only_zfs


def datasets(what: str) -> list[str]:
    said = subprocess.run(
        ["zfs", "list", "-H", "-o", "name", "-t", what, "-r", "treesmith-test"], stdout=-1, check=True
    )
    return [name for name in said.stdout.decode().split() if name.count("/") == 2]


@pytest.mark.parametrize("order", list(permutations(range(4)))[::5])
def test_trees_go_in_any_order(store: Store, order: tuple[int, ...]) -> None:
    with store.stage() as stage:
        stage.create()
        with opened(store, stage) as root:
            (root / "0").touch()
        trees = [store.publish(stage, "build", "n0", sealed=True)]
    for number in (1, 2, 3):
        fork = store.snapshot(trees[-1], f"n{number}")
        with opened(store, fork) as root:
            (root / str(number)).touch()
        trees.append(store.seal(fork) if number == 2 else fork)
    left = dict(enumerate(trees))
    for number in order:
        del left[number]
        for orphan in store.backend.orphans(left.values(), frozenset()):
            store.backend.clear(orphan)
            store.backend.clear(orphan)
        for other, tree in left.items():
            with opened(store, tree, "ro") as root:
                assert sorted(os.listdir(root)) == [str(n) for n in range(other + 1)]
    assert datasets("all") == []


def test_a_snapshot_whose_fork_never_came_to_be(store: Store) -> None:
    with store.stage() as stage:
        stage.create()
        tree = store.publish(stage, "build", "base")
    (dataset,) = datasets("filesystem")
    for name in ("for-0123456789abcdef", "mine"):
        subprocess.run(["zfs", "snapshot", f"{dataset}@{name}"], check=True)
    (orphan,) = store.backend.orphans([tree], frozenset())
    assert store.backend.orphans([tree], frozenset({"0123456789abcdef"})) == []
    store.backend.clear(orphan)
    assert datasets("snapshot") == [f"{dataset}@mine"]


def test_what_others_made_is_no_orphan(store: Store) -> None:
    with store.stage() as stage:
        stage.create()
        tree = store.publish(stage, "build", "base", sealed=True)
    (dataset,) = datasets("filesystem")
    theirs = f"{os.path.dirname(dataset)}/0123456789abcdef"
    subprocess.run(["zfs", "create", theirs], check=True)
    assert store.backend.orphans([], frozenset()) == [dataset]
    assert store.backend.orphans([tree], frozenset()) == []
    subprocess.run(["zfs", "destroy", theirs], check=True)


def test_what_is_sealed_is_held(store: Store) -> None:
    with store.stage() as stage:
        stage.create()
        tree = store.publish(stage, "build", "base", sealed=True)
    (sealed,) = datasets("snapshot")
    done = subprocess.run(["zfs", "destroy", sealed], stderr=-1, check=False)
    assert done.returncode
    assert datasets("snapshot") == [sealed]
    store.remove([tree])
    assert datasets("all") == []


def test_whoever_only_asks_leaves_nothing(store: Store) -> None:
    def everything() -> bytes:
        return subprocess.run(["zfs", "list", "-H", "-t", "all", "-o", "name"], stdout=-1, check=True).stdout

    before = everything()
    store.backend.probe()
    assert everything() == before
    make(store, "base")
    before = everything()
    store.backend.probe()
    assert everything() == before


def test_who_keeps_a_dataset_busy(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(treesmith.backends.zfs, "_PATIENCE", 3)
    with store.stage() as stage:
        stage.create()
        store.publish(stage, "build", "base")
    (dataset,) = datasets("filesystem")
    script = 'mount -t zfs "$0" "$1" && echo ready && exec sleep 600'
    holder = subprocess.Popen(["unshare", "-m", "sh", "-c", script, dataset, tmp_path], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"ready\n"
        with pytest.raises(OSError, match=rf"in use by sleep \({holder.pid}\)") as caught:
            store.backend.clear(dataset)
        assert caught.value.errno == errno.EBUSY
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    store.backend.clear(dataset)
    assert datasets("filesystem") == []
