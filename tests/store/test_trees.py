"""Trees as the rest of treesmith meets them: made, found, named, changed."""

import os
from pathlib import Path

import pytest
from forest import content, opened
from grow import make, step, titles

from treesmith.errors import BusyError, Error, NotFoundError, UsageError
from treesmith.store import Damaged, Store, Tree, create_store, open_store

FIELDS = [field.lstrip("_") for field in Tree.__slots__]


def test_a_record_says_what_was_published(store: Store) -> None:
    base = make(
        store, "base", labels={"a": "ü\n"}, launch={"command": ["sh"]}, recipe={"name": "base"}, steps=[{"x": 1}]
    )
    fork = store.snapshot(base, "fork", {"for": "me"})
    for tree, found in ((base, store.find("base")), (fork, store.find(f"@{fork.id[:6]}"))):
        assert all(getattr(tree, field) == getattr(found, field) for field in FIELDS)
    assert (base.parent, base.sealed, base.kind, base.labels) == (None, True, "build", {"a": "ü\n"})
    assert (fork.parent, fork.sealed, fork.kind, fork.labels) == (base.id, False, "snapshot", {"for": "me"})
    assert (fork.recipe, fork.steps, fork.launch) == (base.recipe, base.steps, base.launch)
    assert titles(store) == ["base", "fork"]
    assert store.names() == {"base": base.id, "fork": fork.id}
    assert open_store(store.path).find("base").id == base.id


def test_what_cannot_be_found(store: Store) -> None:
    one = make(store, "webapp")
    for ref in ("nothing", "@0000000", "@12", "@xyz0", "webapp@1", f"@{one.id}0"):
        with pytest.raises(NotFoundError):
            store.find(ref)
    with pytest.raises(NotFoundError, match="did you mean webapp"):
        store.find("webap")
    for ref in ("../x", "A", "", "a/b", ".new", "x.toml", "a@b"):
        with pytest.raises(UsageError):
            store.find(ref)
    for name in ("../x", "", "webapp@1", "@1234", "a" * 65):
        with pytest.raises(UsageError):
            store.snapshot(one, name)
        with pytest.raises(UsageError):
            store.rename("webapp", name)
    assert titles(store) == ["webapp"]


def test_a_name_is_taken_once(store: Store) -> None:
    one, two = make(store, "one"), make(store, "two")
    with pytest.raises(Error, match="there is a tree two"):
        store.snapshot(one, "two")
    with pytest.raises(Error, match="there is a tree two"):
        store.rename("one", "two")
    assert store.names() == {"one": one.id, "two": two.id}
    assert os.listdir(f"{store.path}/staging") == []


def test_rename_and_what_hangs_on_it(store: Store) -> None:
    base = make(store, "base")
    store.snapshot(base, "fork")
    lock = store.lock(base.id)
    assert store.rename("base", "root").id == base.id
    lock.close()
    assert store.names().keys() == {"root", "fork"}
    with pytest.raises(NotFoundError):
        store.find("base")
    with pytest.raises(NotFoundError):
        store.rename("base", "other")
    with pytest.raises(Error, match="has no name"):
        store.rename(f"@{step(store, 'k').id}", "other")
    assert store.rename(f"@{base.id}", "again").name == "again"
    assert store.find(f"@{base.id}").name == "again"
    store.snapshot(store.find("fork"), "base")  # the name it had first
    assert store.find(f"@{base.id}").name == "again"


def test_a_name_of_nothing_is_free(store: Store) -> None:
    os.symlink("../trees/0123456789abcdef", f"{store.path}/names/ghost")
    with pytest.raises(NotFoundError):
        store.find("ghost")
    assert make(store, "ghost").name == "ghost"
    assert store.find("ghost")


def test_steps_are_found_by_key(store: Store) -> None:
    one = step(store, "key-1")
    assert store.by_key("key-1").id == one.id
    assert store.by_key("key-2") is None
    again = step(store, "key-1")
    assert store.by_key("key-1").id == again.id
    store.remove([again])
    assert store.by_key("key-1") is None


def test_update_keeps_what_others_changed_meanwhile(store: Store) -> None:
    stale = make(store, "tree")
    store.update(stale, labels={"a": "1"})
    tree = store.update(stale, pin=True)
    assert (tree.labels, tree.pin) == ({"a": "1"}, True)
    assert store.find("tree").labels == {"a": "1"}


def test_a_writable_source_may_change_hands_while_it_is_snapshotted(store: Store) -> None:
    """Its record is replaced, so what somebody else just wrote there may not be lost."""
    source = store.snapshot(make(store, "base"), "source")
    with store.stage() as stage:
        store.update(source, labels={"kept": "yes"})
        stage.fork(source)
        store.update(source, pin=True)
        store.publish(stage, "snapshot", "copy")
    found = store.find("source")
    assert (found.labels, found.pin) == ({"kept": "yes"}, True)


def test_sealing_leaves_no_twins(store: Store) -> None:
    tree = store.snapshot(make(store, "base"), "tree")
    with opened(store, tree) as root:
        for folder in ("etc/ssh", "var/lib/systemd"):
            (root / folder).mkdir(parents=True)
        (root / "etc/machine-id").write_text("0123\n")
        os.link(root / "etc/machine-id", root / "etc/other")
        for name in ("ssh_host_rsa_key", "ssh_host_rsa_key.pub", "ssh_config"):
            (root / "etc/ssh" / name).write_text("key")
        (root / "var/lib/systemd/random-seed").write_bytes(b"seed")
    sealed = store.seal(tree)
    files = {entry.path: entry.size for entry in content(store, sealed) if entry.type == "file"}
    assert files == {"made": 4, "etc/machine-id": 0, "etc/other": files["etc/other"], "etc/ssh/ssh_config": 3}


def test_sealing_follows_no_link_out(store: Store, tmp_path: Path) -> None:
    victim = tmp_path / "ssh"
    victim.mkdir()
    (victim / "ssh_host_rsa_key").write_text("the host's")
    (tmp_path / "machine-id").write_text("the host's")
    tree = store.snapshot(make(store, "base"), "tree")
    with opened(store, tree) as root:
        (root / "etc").mkdir()
        os.symlink(victim, root / "etc/ssh")
        os.symlink(tmp_path / "machine-id", root / "etc/machine-id")
        os.symlink("/proc/self/root", root / "var")
    assert store.seal(tree).sealed
    assert (victim / "ssh_host_rsa_key").read_text() == "the host's"
    assert (tmp_path / "machine-id").read_text() == "the host's"


def test_what_runs_is_left_alone(store: Store) -> None:
    base = make(store, "base")
    tree = store.snapshot(base, "tree")
    with store.lock(tree.id, exclusive=True):
        for refused in (
            lambda: store.snapshot(tree, "copy"),
            lambda: store.throwaway(tree),
            lambda: store.seal(tree),
            lambda: store.remove([tree]),
            lambda: store.lock(tree.id),
        ):
            with pytest.raises(BusyError, match="tree is in use"):
                refused()
        store.snapshot(base, "other")
        assert store.in_use(tree.id)
    assert not store.in_use(tree.id)
    with store.throwaway(tree), store.throwaway(tree), store.throwaway(base):
        with pytest.raises(BusyError):
            store.lock(tree.id, exclusive=True)
        with pytest.raises(BusyError):
            store.remove([tree])
    assert titles(store) == ["base", "other", "tree"]
    store.remove([tree])


def test_a_stage_keeps_what_it_needs_until_it_ends(store: Store) -> None:
    base = make(store, "base")
    with store.stage() as stage:
        stage.fork(base)
        with pytest.raises(BusyError):
            store.remove([base])
        tree = store.publish(stage, "step", key="k", sealed=True)
        with pytest.raises(BusyError):
            store.remove([tree])
        mine = store.lock(tree.id)
    with pytest.raises(BusyError):
        store.remove([tree])
    mine.close()
    store.remove([tree])
    store.remove([base])
    assert titles(store) == []


def test_a_store_is_nobody_elses(store: Store) -> None:
    for mode in (0o755, 0o710, 0o701, 0o777):
        os.chmod(store.path, mode)
        with pytest.raises(Error, match="open to others"):
            open_store(store.path)
    os.chmod(store.path, 0o700)
    os.chown(store.path, 1000, 1000)
    with pytest.raises(Error, match="belongs to user 1000"):
        open_store(store.path)
    os.chown(store.path, 0, 0)
    assert open_store(store.path).path == store.path


def test_making_a_store(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        open_store(str(tmp_path / "none"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/precious").touch()
    with pytest.raises(Error, match="not empty"):
        create_store(str(tmp_path / "full"))
    assert os.listdir(tmp_path / "full") == ["precious"]
    first = create_store(str(tmp_path / "new/store"))
    assert first.backend.name == "overlay"
    assert os.stat(first.path).st_mode & 0o7777 == 0o700
    assert create_store(first.path).backend.name == "overlay"
    with pytest.raises(Error, match="kept by overlay"):
        create_store(first.path, "copy")
    with pytest.raises(Error, match="no backend 'nothing'"):
        create_store(str(tmp_path / "other"), "nothing")
    assert not (tmp_path / "other").exists()
    Path(first.path, "store.json").write_text("{")
    with pytest.raises(Error, match="damaged"):
        open_store(first.path)
    Path(first.path, "store.json").write_text('{"version": 2, "backend": "overlay"}')
    with pytest.raises(Error, match="version 2"):
        open_store(first.path)


BROKEN = {
    "empty": b"",
    "cut": b'{"version": 1, "id": "',
    "zeros": b"\0" * 500,
    "no object": b"[]",
    "later": b'{"version": 2}',
    "no id": b'{"version": 1}',
    "binary": b"\xff\xfe\xfd",
    "deep": b"[" * 200000,
    "constant": b'{"version": NaN}',
}


@pytest.mark.parametrize("name", [*BROKEN, "missing", "folder", "link", "anothers"])
def test_a_damaged_record_harms_nobody_else(store: Store, name: str) -> None:
    base, tree = make(store, "base"), make(store, "tree")
    path = Path(tree.home, "tree.json")
    path.unlink()
    if name in BROKEN:
        path.write_bytes(BROKEN[name])
    elif name == "folder":
        path.mkdir()
    elif name == "link":
        path.symlink_to(f"{base.home}/tree.json")
    elif name == "anothers":
        path.write_bytes(Path(base.home, "tree.json").read_bytes())
    (damaged,) = [found for found in store.trees() if isinstance(found, Damaged)]
    assert (damaged.id, damaged.name, bool(damaged.why)) == (tree.id, "tree", True)
    assert store.find("base").id == base.id
    with pytest.raises(Error, match="tree is damaged"):
        store.find("tree")
    with pytest.raises(Error, match="there is a tree tree"):
        store.snapshot(base, "tree")
    before = content(store, base)
    store.snapshot(base, "copy")
    assert store.recover() == []
    assert content(store, base) == before
    store.remove([damaged])
    assert titles(store) == ["base", "copy"]
    assert store.recover() == []
    assert content(store, base) == before


def test_things_in_trees_that_are_no_trees(store: Store) -> None:
    make(store, "base")
    Path(store.path, "trees/file").touch()
    Path(store.path, "trees/lost+found").mkdir()
    assert sorted(tree.title for tree in store.trees()) == ["@file", "@lost+found", "base"]
