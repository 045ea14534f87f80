"""Roots keep what is put into them, forks share nothing that shows, and what is deleted stays deleted."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from forest import content, manifest, opened, plant

from treesmith.compare import differences
from treesmith.store import Store, Tree


def planted(store: Store, name: str = "base", sealed: bool = True) -> Tree:
    with store.stage() as stage:
        stage.create()
        with opened(store, stage) as root:
            plant(root)
        return store.publish(stage, "build", name, sealed=sealed)


def empty(store: Store, name: str = "base", sealed: bool = True) -> Tree:
    with store.stage() as stage:
        stage.create()
        return store.publish(stage, "build", name, sealed=sealed)


def same(old, new, ignoring=()) -> None:
    found = [str(difference) for difference in differences(old, new, ignoring)]
    assert not found


def test_a_new_root_is_empty_and_roots_own(store: Store) -> None:
    (top,) = content(store, empty(store))
    assert (top.mode, top.uid, top.gid) == (0o755, 0, 0)


def test_a_root_keeps_everything(store: Store) -> None:
    plain = Path(store.path, "cache/plain")
    plain.mkdir(mode=0o755)
    plant(plain)
    found = content(store, planted(store))
    assert len(found) > 25
    same(manifest(plain), found)


def test_a_fork_is_the_same(store: Store) -> None:
    base = planted(store)
    before = content(store, base)
    one = store.snapshot(base, "one")
    two = store.snapshot(one, "two")
    same(before, content(store, one))
    same(before, content(store, two))
    same(before, content(store, base))


def test_a_fork_keeps_holes(store: Store) -> None:
    fork = store.snapshot(planted(store), "fork")
    with opened(store, fork, "ro") as root:
        assert (root / "holes").stat().st_blocks * 512 < 1 << 20


def scribble(root: Path) -> None:
    (root / "etc/motd").write_text("changed\n")
    (root / "etc/removed").unlink()
    (root / "etc/new").write_text("new")
    os.chmod(root / "setuid", 0o600)
    os.setxattr(root / "dir", "user.empty", b"no more")
    shutil.rmtree(root / "dir/sub")
    os.rename(root / "link", root / "renamed")


def test_a_fork_hides_nothing_from_its_source_and_tells_it_nothing(store: Store) -> None:
    base = planted(store)
    before = content(store, base)
    fork = store.snapshot(base, "fork")
    with opened(store, fork) as root:
        scribble(root)
    same(before, content(store, base))
    after = {difference.path for difference in differences(before, content(store, fork))}
    assert {"etc/motd", "etc/removed", "etc/new", "setuid", "dir", "dir/sub/b", "link", "renamed"} <= after


def test_a_snapshot_of_a_writable_tree_stays_when_its_source_changes(store: Store) -> None:
    source = planted(store, sealed=False)
    before = content(store, source)
    snapshot = store.snapshot(source, "snapshot")
    source = store.find("base")
    with opened(store, source) as root:
        scribble(root)
    same(before, content(store, snapshot))
    changed = content(store, source)
    with opened(store, snapshot) as root:
        (root / "etc/motd").write_text("otherwise\n")
    same(changed, content(store, source))


def test_what_is_deleted_and_made_again_is_empty(store: Store) -> None:
    """Through forks of forks, each deleting what another made: an opaque directory has to stay opaque."""
    tree = planted(store)
    for generation in range(4):
        tree = store.snapshot(tree, f"generation-{generation}")
        with opened(store, tree) as root:
            shutil.rmtree(root / "dir")
            (root / "dir").mkdir()
            assert os.listdir(root / "dir") == []
            (root / f"dir/{generation}").touch()
        tree = store.snapshot(tree, f"copy-{generation}")
        with opened(store, tree) as root:
            assert os.listdir(root / "dir") == [str(generation)]
        with opened(store, tree, "ro") as root:
            assert os.listdir(root / "dir") == [str(generation)]
    assert store.seal(tree).sealed
    with opened(store, store.snapshot(tree, "last"), "ro") as root:
        assert os.listdir(root / "dir") == ["3"]


def test_many_forks_of_forks(store: Store) -> None:
    tree = empty(store)
    count = 100 if store.backend.traits.max_depth else 25
    for number in range(count):
        tree = store.snapshot(tree, f"n{number}")
        with opened(store, tree) as root:
            (root / str(number)).write_text(str(number))
            if number:
                (root / str(number - 1)).unlink()
            (root / "folder").mkdir(exist_ok=number > 0)
            (root / f"folder/{number}").touch()
    with opened(store, tree, "ro") as root:
        assert sorted(os.listdir(root)) == [str(count - 1), "folder"]
        assert len(os.listdir(root / "folder")) == count


def test_read_only_is_read_only(store: Store) -> None:
    for tree in (planted(store), store.snapshot(store.find("base"), "fork")):
        with opened(store, tree, "ro") as root:
            with pytest.raises(OSError) as caught:
                (root / "etc/motd").write_text("no")
            assert caught.value.errno == errno.EROFS


def test_a_sealed_tree_keeps_its_content(store: Store) -> None:
    tree = store.snapshot(planted(store), "fork")
    with opened(store, tree) as root:
        scribble(root)
    before = content(store, tree)
    sealed = store.seal(tree)
    same(before, content(store, sealed))
    assert store.seal(sealed).layout == sealed.layout
    assert store.backend.seal(sealed) == sealed.layout


def test_the_mount_is_detached_nosuid_and_nodev(store: Store) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    with opened(store, planted(store)) as root:
        flags = os.statvfs(root).f_flag
        assert flags & os.ST_NOSUID
        assert flags & os.ST_NODEV
        assert Path("/proc/self/mountinfo").read_text() == mounts
        with pytest.raises(PermissionError):
            (root / "null").read_bytes()


def test_hard_links_outlive_a_write(store: Store, declared: Callable[[], None]) -> None:
    fork = store.snapshot(planted(store), "fork")
    with opened(store, fork) as root:
        (root / "linked").write_text("changed")
        kept = (root / "etc/linked").read_text() == "changed"
    assert kept == store.backend.traits.keeps_links
    kept or declared()


def test_a_folder_that_came_with_a_fork_can_be_renamed(store: Store, declared: Callable[[], None]) -> None:
    fork = store.snapshot(planted(store), "fork")
    with opened(store, fork) as root:
        try:
            os.rename(root / "dir", root / "moved")
            renamed = True
        except OSError as error:
            assert error.errno == errno.EXDEV
            renamed = False
        assert renamed == store.backend.traits.renames_dirs
        subprocess.run(["mv", root / "etc", root / "dir2"], check=True)  # callers cope
    renamed or declared()


def test_a_root_has_a_path_of_its_own(store: Store, declared: Callable[[], None]) -> None:
    there = os.path.isdir(f"{planted(store).home}/root")
    assert there == store.backend.traits.host_path
    there or declared()


def test_a_throwaway_is_gone_and_never_was(store: Store) -> None:
    for tree in (planted(store), store.snapshot(store.find("base"), "writable")):
        before, record = content(store, tree), Path(tree.home, "tree.json").read_bytes()
        layers = sorted(os.listdir(f"{store.path}/layers"))
        with store.throwaway(tree) as stage:
            for _ in range(2):  # a volatile mount leaves a mark against a second one
                with opened(store, stage, "ephemeral") as root:
                    (root / "etc/motd").write_text("not for long")
                    shutil.rmtree(root / "dir", ignore_errors=True)
        same(before, content(store, tree))
        assert Path(tree.home, "tree.json").read_bytes() == record
        assert sorted(os.listdir(f"{store.path}/layers")) == layers
        assert os.listdir(f"{store.path}/staging") == []


def test_a_stage_built_without_syncs_can_be_published_writable(store: Store) -> None:
    with store.stage() as stage:
        stage.fork(planted(store))
        with opened(store, stage, "ephemeral") as root:
            (root / "etc/motd").write_text("built")
        tree = store.publish(stage, "snapshot", "built")
    with opened(store, tree) as root:
        assert (root / "etc/motd").read_text() == "built"
        (root / "etc/motd").write_text("and run")
