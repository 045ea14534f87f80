"""A store is moved to another backend with all that is known of its trees, and what they share stays shared."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import damage
import filesystems
import pytest
from command import Command, on
from forest import content, opened
from grow import make
from woods import Silent, go, same, wipe, wood

from treesmith import migrate as moving
from treesmith.errors import BusyError, Error
from treesmith.store import Store, Tree, create_store, open_store
from treesmith.store.check import check

BACKENDS = ("overlay", "copy", "btrfs")  # and zfs: see tests/contract/test_moving.py
PAIRS = [(one, other) for one in BACKENDS for other in BACKENDS if one != other] + [("overlay", "overlay")]


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """backend -> a folder for its stores."""
    pytest.importorskip("btrfsutil", reason="pip install -e '.[btrfs]'; ci/test does")
    host = tmp_path_factory.mktemp("host")
    with filesystems.btrfs(tmp_path_factory.mktemp("btrfs")) as btrfs:
        yield {"overlay": host, "copy": host, "btrfs": btrfs}


@pytest.fixture
def places(grounds: dict[str, Path]) -> Iterator[dict[str, Path]]:
    yield grounds
    for place in {*grounds.values()}:
        for path in place.iterdir():
            file = next((each for each in (path / "store.json", path / moving.MOVING) if each.exists()), None)
            if file:
                wipe(Store(str(path), json.loads(file.read_text())["backend"]))


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
        assert usage.exclusive < 300_000, "what is its ancestor's counts as its own"
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
