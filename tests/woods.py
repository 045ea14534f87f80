"""Stores to be moved, moving them, and what must be the same afterwards."""

import os
import shutil
from pathlib import Path

from forest import content, opened, plant
from grow import make, step

from treesmith import migrate as moving
from treesmith.compare import differences
from treesmith.store import Store, Tree, create_store, records
from treesmith.store.check import check


class Silent:
    def begin(self, n: int, total: int, text: str) -> None:
        pass

    def end(self, text: str) -> None:
        pass


def wood(path: Path, backend: str) -> Store:
    """Steps, a superseded build, writable trees of writable ones, things of all kinds; a pin, labels, logs."""
    store = create_store(str(path), backend)
    one = step(store, "one")
    with store.stage() as stage:
        stage.fork(one)
        with opened(store, stage) as root:
            plant(root)
            os.truncate(root / "holes", 1 << 16)  # it takes long to read
            (root / "big").write_bytes(os.urandom(1 << 19))
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


def wipe(store: Store) -> None:
    for folder in ("trees", "staging", "trash"):
        for home in Path(store.path, folder).iterdir():
            store.backend.clear(str(home))
    for orphan in store.backend.orphans([], frozenset()):
        store.backend.clear(orphan)
    store.backend.clear(store.path)
