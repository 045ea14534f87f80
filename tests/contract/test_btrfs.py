"""What only subvolumes can have: others inside them, and mounts of their own."""

import errno
import os
import subprocess
import traceback
from pathlib import Path

import pytest
from forest import content, opened, plant

import treesmith.backends.btrfs
from treesmith.compare import differences
from treesmith.errors import BusyError, Error
from treesmith.linux.process import NEWNS, unshare
from treesmith.store import Store, Tree

btrfsutil = pytest.importorskip("btrfsutil", reason="pip install -e '.[btrfs]'; ci/test does")
pytestmark = pytest.mark.parametrize("ground", [("btrfs", "btrfs")], ids="@".join, indirect=True)
INNER = ("var/lib/machines", "var/lib/machines/deeper", "var/\udcff\n odd")


def nested(store: Store, sealed: bool = True) -> Tree:
    with store.stage() as stage:
        stage.create()
        with opened(store, stage) as root:
            plant(root)
            (root / "var/lib").mkdir(parents=True)
            for path in INNER:
                btrfsutil.create_subvolume(str(root / path))
                (root / path / "kept").write_text(path.encode(errors="surrogateescape").hex())
                os.chown(root / path, 33, 44)
        return store.publish(stage, "build", "base", sealed=sealed)


def inner(tree: Tree) -> list[str]:
    with btrfsutil.SubvolumeIterator(f"{tree.home}/root") as found:
        return sorted(path for path, _ in found)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_fork_has_its_own_inner_subvolumes(store: Store, sealed: bool) -> None:
    base = nested(store, sealed)
    before = content(store, base)
    fork = store.snapshot(base, "fork")
    assert not [str(difference) for difference in differences(before, content(store, fork))]
    assert inner(fork) == inner(base) == sorted(INNER)
    with opened(store, fork) as root:
        for path in INNER:
            (root / path / "kept").write_text("changed")
    assert not list(differences(before, content(store, base)))


def test_sealing_seals_all(store: Store) -> None:
    tree = nested(store)
    for path in ("", *INNER):
        with pytest.raises(OSError) as caught:
            Path(tree.home, "root", path, "new").touch()
        assert caught.value.errno == errno.EROFS


def test_a_seal_that_was_cut_short_is_undone(store: Store) -> None:
    tree = nested(store, sealed=False)
    store.backend.seal(tree)  # its record is never written
    tree = store.find("base")
    for path in ("", *INNER):
        with opened(store, tree) as root:
            (root / path / "new").touch()
    assert store.seal(tree).layout == {"sealed": True}


def test_inner_subvolumes_go_with_their_tree(store: Store) -> None:
    base = nested(store)
    fork = store.snapshot(base, "fork")
    with store.throwaway(fork) as stage:
        assert inner(stage) == sorted(INNER)
    store.seal(fork)
    store.remove([fork])
    store.remove([store.find("base")])
    for folder in ("trees", "staging", "trash"):
        assert os.listdir(f"{store.path}/{folder}") == []
    with btrfsutil.SubvolumeIterator(os.path.dirname(store.path)) as found:
        assert list(found) == []


@pytest.mark.parametrize("what", ["", INNER[0]])
@pytest.mark.parametrize("where", ["inside", "elsewhere"])
def test_what_is_mounted_is_not_deleted(store: Store, tmp_path: Path, what: str, where: str) -> None:
    tree = nested(store, sealed=False)
    if where == "inside":
        source, target = tmp_path, Path(tree.home, "root", what or "etc")
    else:
        source, target = Path(tree.home, "root", what), tmp_path
    subprocess.run(["mount", "--bind", source, target], check=True)
    try:
        with pytest.raises(Error, match="not everything could be removed"):
            store.remove([tree])
        assert Path(store.path, "trash", tree.id, "root/etc").is_dir()
        with pytest.raises(OSError) as caught:
            store.backend.clear(f"{store.path}/trash/{tree.id}")
        assert caught.value.errno == errno.EBUSY
    finally:
        if where == "inside":
            target = Path(store.path, "trash", tree.id, "root", what or "etc")
        subprocess.run(["umount", target], check=True)
    assert store.recover() == []
    assert os.listdir(f"{store.path}/trash") == []


def test_a_tree_in_use_is_not_sealed(store: Store) -> None:
    """Whoever has a file open goes on writing to it, read-only or not: so nobody may."""
    tree = nested(store, sealed=False)
    with store.lock(tree.id), pytest.raises(BusyError):
        store.seal(tree)
    with open(f"{tree.home}/root/late", "w") as file:
        store.backend.seal(tree)
        file.write("too late?")
        file.flush()
    assert Path(tree.home, "root/late").read_text() == "too late?"


def test_a_link_in_the_place_of_an_inner_subvolume_is_not_followed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As what runs in the source may put it there between the look and the snapshot."""
    source = nested(store, sealed=False)
    elsewhere = f"{store.path}/cache/elsewhere"
    btrfsutil.create_subvolume(elsewhere)
    Path(elsewhere, "secret").touch()
    os.rename(f"{source.home}/root/var/lib", f"{source.home}/root/var/moved")
    os.symlink(f"{store.path}/cache", f"{source.home}/root/var/lib")
    stale = ["var/lib/elsewhere", "var/never", *INNER[2:]]
    monkeypatch.setattr(treesmith.backends.btrfs, "inside", lambda calls, top: stale)
    fork = store.snapshot(source, "fork")
    monkeypatch.undo()
    assert inner(fork) == [INNER[2]]
    assert os.listdir(f"{fork.home}/root/var/moved/machines") == []
    btrfsutil.delete_subvolume(elsewhere)


def test_usage_counts_inner_subvolumes(store: Store) -> None:
    base = nested(store, sealed=False)
    with opened(store, base) as root:
        (root / INNER[0] / "big").write_bytes(os.urandom(2 << 20))
    usage = store.backend.measure([base]).whole(base)
    assert usage.exclusive is not None
    assert 2 << 20 <= usage.exclusive < 3 << 20
    assert usage.apparent == usage.exclusive


def test_usage_is_unknown_without_the_program(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    base = nested(store)
    monkeypatch.setenv("PATH", "/nowhere")
    assert store.backend.measure([base]).whole(base).exclusive is None


def test_without_root(store: Store) -> None:
    """A user's own subvolumes go by rmdir(2), emptied: BTRFS_IOC_SNAP_DESTROY is not for all."""
    home = Path(store.path, "cache/somebody")
    home.mkdir()
    os.chown(home, 1000, 1000)
    child = os.fork()
    if not child:
        status = 1
        try:
            # The way to the tests' own folder is closed to others.
            unshare(NEWNS)
            subprocess.run(["mount", "--bind", home, "/mnt"], check=True)
            os.setgroups([])
            os.setresgid(1000, 1000, 1000)
            os.setresuid(1000, 1000, 1000)
            os.mkdir("/mnt/tree")
            btrfsutil.create_subvolume("/mnt/tree/root")
            btrfsutil.create_subvolume("/mnt/tree/root/inner")
            Path("/mnt/tree/root/inner/file").touch()
            store.backend.clear("/mnt/tree")
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert os.listdir(home) == []
