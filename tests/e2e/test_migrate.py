"""A store is moved to another backend with all that is known of its trees, and what they share stays shared."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import damage
import filesystems
import pytest
from command import Command, on
from forest import content, opened, plant
from grow import make, step

from treesmith import migrate as moving
from treesmith.compare import differences
from treesmith.errors import BusyError, Error
from treesmith.store import Store, Tree, create_store, open_store, records
from treesmith.store.check import check

BACKENDS = ("overlay", "copy", "btrfs", *(("zfs",) if os.path.exists("/dev/zfs") else ()))
PAIRS = [(one, other) for one in BACKENDS for other in BACKENDS if one != other] + [("overlay", "overlay")]


class Silent:
    def begin(self, n: int, total: int, text: str) -> None:
        pass

    def end(self, text: str) -> None:
        pass


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """backend -> a folder for its stores."""
    pytest.importorskip("btrfsutil", reason="pip install -e '.[btrfs]'; ci/test does")
    host = tmp_path_factory.mktemp("host")
    with filesystems.btrfs(tmp_path_factory.mktemp("btrfs")) as btrfs:
        found = {"overlay": host, "copy": host, "btrfs": btrfs}
        if "zfs" not in BACKENDS:
            yield found
            return
        with filesystems.zfs(tmp_path_factory.mktemp("zfs")) as zfs:
            yield {**found, "zfs": zfs}


@pytest.fixture
def places(grounds: dict[str, Path]) -> Iterator[dict[str, Path]]:
    yield grounds
    for place in {*grounds.values()}:
        for path in place.iterdir():
            file = next((each for each in (path / "store.json", path / moving.MOVING) if each.exists()), None)
            if file:
                wipe(Store(str(path), json.loads(file.read_text())["backend"]))


def wipe(store: Store) -> None:
    for folder in ("trees", "staging", "trash"):
        for home in Path(store.path, folder).iterdir():
            store.backend.clear(str(home))
    for orphan in store.backend.orphans([], frozenset()):
        store.backend.clear(orphan)
    store.backend.clear(store.path)


def wood(path: Path, backend: str) -> Store:
    """Steps, a superseded build, writable trees of writable ones, things of all kinds; a pin, labels, logs."""
    store = create_store(str(path), backend)
    one = step(store, "one")
    with store.stage() as stage:
        stage.fork(one)
        with opened(store, stage) as root:
            plant(root)
            (root / "big").write_bytes(os.urandom(1 << 20))
        Path(stage.home, "log").write_text("what the step said")
        two = store.publish(stage, "step", key="two", steps=[*one.steps, {"key": "two", "tree": stage.id}], sealed=True)
    with store.stage() as stage:
        stage.fork(two)
        base = store.publish(
            stage, "build", "base", key="three", steps=two.steps, sealed=True, flush=False, launch={"user": "me"},
            labels={"a": "b"}, recipe={"name": "base", "path": "/base.toml", "set": {}, "digest": ""},
        )  # fmt: skip
    web = store.snapshot(base, "web", labels={"for": "web"})
    with opened(store, web) as root:
        (root / "etc/removed").unlink()
        shutil.rmtree(root / "dir")
        (root / "dir").mkdir()  # opaque, where there are layers
        (root / "dir/new").write_text("new")
        (root / "null").unlink()
        os.link(root / "etc/motd", root / "motd too")
        os.chown(root / "etc/empty", 5, 6)
    copy = store.snapshot(web, "copy")
    with opened(store, copy) as root:
        (root / "own").write_text("own")
    with opened(store, web) as root:
        (root / "later").write_text("since the copy was made")
    store.seal(store.find("copy"))
    store.update(web, pin=True)
    make(store, "base", key="")  # the old one is base@1
    os.utime(f"{path}/locks/{web.id}", (1_500_000_000, 1_500_000_000))
    Path(path, "cache/logs").mkdir()
    Path(path, "cache/logs/base-1-run.log").write_text("it failed")
    return store


def known(store: Store) -> dict[str, object]:
    """All that is known of the trees but how the backend keeps them."""
    trees = [tree for tree in store.trees() if isinstance(tree, Tree)]
    found = {
        tree.id: (tree.name, {key: value for key, value in records.fields(tree).items() if key != "layout"})
        for tree in trees
    }
    keys = {key: os.readlink(f"{store.path}/keys/{key}") for key in os.listdir(f"{store.path}/keys")}
    return {"trees": found, "names": store.names(), "keys": keys}


def same(source: Store, target: Store) -> None:
    assert known(target) == known(source)
    for tree in source.trees():
        assert not list(differences(content(source, tree), content(target, target.read(tree.id)))), tree.title
    assert check(target.path).damage == []


def go(source: Store, backend: str, path: Path) -> int:
    return moving.migrate(source, backend, str(path), Silent())


@pytest.mark.parametrize(("backend", "other"), PAIRS)
def test_everything_is_there_afterwards(places: dict[str, Path], backend: str, other: str) -> None:
    source = wood(places[backend] / "source", backend)
    path = places[other] / "target"
    if backend == "btrfs":
        with opened(source, source.find("web")) as root:
            subprocess.run(["btrfs", "-q", "subvolume", "create", root / "machines"], check=True)
            (root / "machines/in it").write_text("nested")
    assert go(source, other, path) == 6
    target = open_store(str(path))
    assert target.backend.name == other
    same(source, target)
    web, used = target.find("web"), source.used(source.find("web").id)
    assert target.used(web.id) == used == 1_500_000_000
    assert target.by_key("two")
    assert Path(target.path, "trees", target.named("base@1")).is_dir()
    assert Path(target.by_key("two").home, "log").read_text() == "what the step said"
    assert Path(target.path, "cache/logs/base-1-run.log").read_text() == "it failed"
    assert target.recover() == []
    same(source, target)
    assert check(source.path).damage == []
    usage = target.backend.measure([tree for tree in target.trees() if isinstance(tree, Tree)]).usage(web)
    if other in ("overlay", "btrfs"):
        assert usage.exclusive < 500_000, "the megabyte of its ancestor is its own"
    with opened(target, web) as root:
        (root / "only here").touch()
    with opened(source, source.find("web"), "ro") as root:
        assert not (root / "only here").exists()
    assert go(source, other, path) == 0


def test_it_goes_on_where_it_was(places: dict[str, Path]) -> None:
    """And what happened to the source meanwhile has happened to the copy too."""
    source = wood(places["copy"] / "source", "copy")
    path = places["copy"] / "target"

    class Killed(Silent):
        def begin(self, n: int, total: int, text: str) -> None:
            if n == total:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moving.migrate(source, "overlay", str(path), Killed())
    with pytest.raises(Error, match="no store"):
        open_store(str(path))
    with pytest.raises(Error, match="not empty"):
        create_store(str(path))
    with pytest.raises(Error, match="another move"):
        go(source, "copy", path)
    web = source.find("web")
    with opened(source, web) as root:
        (root / "meanwhile").write_text("written")
    source.update(source.find("base@1"), labels={"new": "label"})
    source.rename("copy", "renamed")
    source.snapshot(web, "young")
    source.seal(web)
    source.remove([source.find("base")])
    assert go(source, "overlay", path) == 6
    same(source, open_store(str(path)))


def test_what_runs_or_is_made_is_in_the_way(places: dict[str, Path]) -> None:
    source = wood(places["overlay"] / "source", "overlay")
    path = places["copy"] / "target"
    for name, exclusive in (("web", True), ("base", False)):
        with source.lock(source.find(name).id, exclusive), pytest.raises(BusyError, match=f"in use: {name}"):
            go(source, "copy", path)
    with source.stage() as stage:
        stage.create()
        with pytest.raises(BusyError, match="making a tree"):
            go(source, "copy", path)
    assert not path.exists()


def test_a_damaged_store_is_not_moved(places: dict[str, Path]) -> None:
    source = wood(places["overlay"] / "source", "overlay")
    damage.garbage_record(source)
    with pytest.raises(Error, match="web: damaged") as caught:
        go(source, "copy", places["copy"] / "target")
    assert "check --repair" in caught.value.hint


def test_where_it_cannot_go(places: dict[str, Path], tmp_path: Path) -> None:
    source = wood(places["overlay"] / "source", "overlay")
    for path in (Path(source.path), Path(source.path, "cache/inside"), Path(source.path).parent):
        with pytest.raises(Error, match="lies in the other"):
            go(source, "copy", path)
    create_store(str(tmp_path / "other"), "copy")
    with pytest.raises(Error, match="there is a store"):
        go(source, "copy", tmp_path / "other")
    with pytest.raises(Error, match="no store can be made"):
        go(source, "btrfs", tmp_path / "not-btrfs")
    assert not (tmp_path / "not-btrfs").exists()


def test_what_the_other_filesystem_cannot_keep_stops_it(places: dict[str, Path], tmp_path: Path) -> None:
    """A root with a device 0:0, which overlay takes for a whiteout."""
    source = create_store(str(tmp_path / "source"), "copy")
    web = source.snapshot(make(source, "base"), "web")
    with opened(source, web) as root:
        os.mknod(root / "nothing", 0o600 | 0o020000, 0)
    with pytest.raises(Error, match="web could not be copied"):
        go(source, "overlay", tmp_path / "target")
    assert "character device" in [entry.type for entry in content(source, web)]
    with opened(source, web) as root:
        (root / "nothing").unlink()
    assert go(source, "overlay", tmp_path / "target") == 2
    same(source, open_store(str(tmp_path / "target")))


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return on(tmp_path / "store")


def test_as_people_type_it(command: Command, tmp_path: Path) -> None:
    store = wood(tmp_path / "store", "overlay")
    plan = command("migrate", "--to", f"copy:{tmp_path}/new", "--dry-run").stdout.splitlines()
    assert plan[0].split() == ["TREE", "MADE"]
    assert plan[-1].split(None, 1)[1] in ("from web", "from nothing")
    assert len(plan) == 7
    assert not (tmp_path / "new").exists()
    said = command("migrate", "--to", "copy:new").stderr
    assert "[6/6]" in said
    assert "each compared with its original" in said
    same(store, open_store(str(tmp_path / "new")))
    assert "already" in command("migrate", "--to", "copy:new").stderr
    assert command("--store", "new", "ls").stdout == command("ls").stdout
    assert "not understood" in command("migrate", "--to", "new", status=2).stderr
    assert "not understood" in command("migrate", status=2).stderr
