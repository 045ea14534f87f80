"""What trees take, measured: their own, what they share, and what a plain copy would take."""

import os
import subprocess

import pytest
from forest import opened
from launching import wait_for

from treesmith.backends.values import Usage
from treesmith.store import Store, Tree

MIB = 1 << 20


def whole(store: Store, tree: Tree) -> Usage:
    live = [each for each in store.trees() if isinstance(each, Tree)]
    found = store.backend.measure(live).whole(store.read(tree.id))
    assert None not in (found.exclusive, found.shared, found.apparent)
    return found


@pytest.fixture
def base(store: Store) -> Tree:
    with store.stage() as stage:
        stage.create()
        with opened(store, stage) as root:
            (root / "big").write_bytes(os.urandom(3 * MIB))
            (root / "sparse").touch()
            os.truncate(root / "sparse", 64 * MIB)
        return store.publish(stage, "build", "base", sealed=True)


def about(count: int | None, mebibytes: int) -> bool:
    return count is not None and mebibytes * MIB <= count < mebibytes * MIB + MIB // 2


def test_a_tree_alone_has_all_for_itself(store: Store, base: Tree) -> None:
    usage = whole(store, base)
    assert about(usage.exclusive, 3) and usage.shared == 0 and about(usage.apparent, 3)


def test_a_fork_shares_what_it_did_not_write(store: Store, base: Tree) -> None:
    fork = store.snapshot(base, "fork")
    with opened(store, fork) as root:
        (root / "own").write_bytes(os.urandom(MIB))
        os.link(root / "own", root / "own too")
    store.backend.flush(fork)
    usage = whole(store, fork)
    assert about(usage.apparent, 4)
    shares = bool(usage.shared)
    assert shares or store.backend.name == "copy"
    assert about(usage.shared, 3 if shares else 0)
    assert about(usage.exclusive, 1 if shares else 4)
    if store.backend.name == "zfs":
        return  # what clones share with a root is charged to it alone: unknown
    usage = whole(store, base)
    assert about(usage.exclusive, 0 if shares else 3)
    store.remove([store.find("fork")])
    if store.backend.name == "btrfs":
        for what in ("filesystem", "subvolume"):  # wake who deletes in the background, and wait
            subprocess.run(["btrfs", what, "sync", store.path], check=True)
    os.statvfs(store.path)  # xfs too deletes in the background
    wait_for("blocks that nobody shares", lambda: whole(store, base).shared == 0)
    assert about(whole(store, base).exclusive, 3)


def test_what_a_fork_wrote(store: Store, base: Tree) -> None:
    with store.stage() as stage:
        stage.fork(base)
        assert about(store.backend.added(stage, base), 0)
        with opened(store, stage) as root:
            (root / "own").write_bytes(os.urandom(MIB))
            (root / "big").chmod(0o600)
        copied_up = 3 if store.backend.name == "overlay" else 0  # for its mode alone
        assert about(store.backend.added(stage, base), 1 + copied_up)
    with store.stage() as stage:
        stage.create()
        with opened(store, stage) as root:
            (root / "own").write_bytes(os.urandom(MIB))
        assert about(store.backend.added(stage, None), 1)


def test_what_is_gone_in_thought_shares_no_more(store: Store, base: Tree) -> None:
    fork = store.snapshot(base, "fork")
    live = [store.read(base.id), store.read(fork.id)]
    meter = store.backend.measure(live)
    meter.gone(live[1])
    if store.backend.name == "overlay":
        assert about(meter.usage(live[0]).exclusive, 3)
