"""Eight processes at once, each doing at random what a user does: nobody waits for ever, nobody's tree is lost.

Each has names of its own, of which it knows what they must hold; and there are names that all fight for.
"""

import json
import os
import random
import re
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import command
import filesystems
import pytest
import roots
from forest import content, manifest, opened
from scenes import tidy

from treesmith.compare import differences
from treesmith.store import Store, create_store, open_store

# ci/test: 60.
SECONDS = int(os.environ.get("TREESMITH_CROWD_SECONDS", "20"))
PROCESSES = 8
MADE = ("", "dev", "etc", "proc", "run", "sys")
REFUSALS = {
    "own": re.compile("is in use|has descendants"),
    "shared": re.compile("is in use|has descendants|there is a tree .* already|no tree|is gone already"),
}
RECIPE = '[[step]]\ntar = {{ file = "base.tar" }}\n[[step]]\nrun = "echo {0} > /mark"\n'


class Member:
    """One of the crowd. `own`: name -> what its file /mark says."""

    def __init__(self, number: int, store: Path) -> None:
        self.number, self.store = number, store
        self.chance, self.own, self.done = random.Random(number), dict[str, str](), 0
        self.treesmith = command.on(store)

    def live(self, until: float) -> None:
        ways = (self.snapshot, self.snapshot, self.launch, self.launch, self.rename, self.rm, self.build, self.prune)
        while time.monotonic() < until:
            self.chance.choice((*ways, self.fight, self.fight))()
        for name, mark in self.own.items():
            self.look(name, mark)
        self.store.with_name(f"own-{self.number}.json").write_text(json.dumps(self.own))

    def do(self, *words: str, whose: str = "own", refused: int = 1) -> bool:
        """Has it been done? Whatever else is wrong with it than a clear refusal is an error."""
        said = self.treesmith(*words, status=None)
        self.done += 1
        if said.returncode == 0:
            return True
        assert said.returncode == refused and REFUSALS[whose].search(said.stderr), f"{words}: {said}"
        return False

    def look(self, name: str, mark: str) -> None:
        while not self.do("launch", "-q", "--ephemeral", name, "--", "grep", "-qx", mark, "/mark", refused=125):
            pass

    def fresh(self) -> str:
        return f"own-{self.number}-{self.chance.getrandbits(40)}"

    def pick(self) -> str:
        return self.chance.choice(list(self.own) or ["base"])

    def snapshot(self) -> None:
        source, name = self.pick(), self.fresh()
        if self.do("snapshot", source, name):
            self.own[name] = self.own.get(source, "base")

    def launch(self) -> None:
        name, mark = self.pick(), self.fresh()
        look = f"grep -qx {self.own.get(name, 'base')} /mark && echo {mark} > /mark"
        done = self.do("launch", "-q", name, "--", "sh", "-c", look, refused=125)
        if done and name in self.own and not name.startswith("built"):
            self.own[name] = mark

    def rename(self) -> None:
        old, new = self.pick(), self.fresh()
        if old in self.own and not old.startswith("built") and self.do("rename", old, new):
            self.own[new] = self.own.pop(old)

    def rm(self) -> None:
        name = self.pick()
        if name in self.own and self.do("rm", name):
            del self.own[name]

    def build(self) -> None:
        name, mark = f"built-{self.number}", self.fresh()
        recipe = self.store.parent / f"{name}.toml"
        recipe.write_text(RECIPE.format(mark))
        if self.do("build", "-q", str(recipe)):
            self.own[name] = mark

    def prune(self) -> None:
        self.do("prune", "-q")

    def fight(self) -> None:
        one, two = self.chance.sample(["shared-a", "shared-b", "shared-c"], 2)
        if self.chance.random() < 0.2:
            self.do("launch", "-q", one, "--", "true", whose="shared", refused=125)
            return
        self.do(*self.chance.choice((
            ("snapshot", self.pick(), one), ("snapshot", one, two), ("rename", one, two), ("rm", "--recursive", one),
        )), whose="shared")  # fmt: skip


@pytest.fixture(params=[("overlay", "xfs"), ("btrfs", "btrfs")], ids="@".join)
def crowded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    backend, filesystem = request.param
    if backend == "btrfs":
        pytest.importorskip("btrfsutil", reason="pip install -e '.[btrfs]'; ci/test does")
    with filesystems.GROUND[filesystem](tmp_path) as folder:
        store = create_store(str(folder / "store"), backend)
        with tarfile.open(folder / "base.tar", "w") as archive:
            archive.add(roots.busybox(tmp_path / "root"), ".")
        (folder / "base.toml").write_text(RECIPE.format("base"))
        command.on(folder / "store")("build", str(folder / "base.toml"))
        store.update(store.find("base"), pin=True)
        yield folder / "store"
        for name in ("trees", "staging", "trash"):
            for home in (folder / "store" / name).iterdir():
                store.backend.clear(str(home))


@pytest.mark.slow
def test_a_crowd(crowded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    until = time.monotonic() + SECONDS
    children = {}
    for number in range(PROCESSES):
        child = os.fork()
        if not child:
            live(Member(number, crowded), until, tmp_path / f"said-{number}")
        children[child] = tmp_path / f"said-{number}"
    failed, done = [], 0
    for child, said in children.items():
        if os.waitpid(child, 0)[1]:
            failed.append(said.read_text())
        else:
            done += int(said.read_text())
    assert not failed, "\n\n".join(failed)
    store = open_store(str(crowded))
    assert store.recover() == []
    command.on(crowded)("prune")
    tidy(store)
    command.on(crowded)("check")
    whole(store, [json.loads(crowded.with_name(f"own-{number}.json").read_text()) for number in range(PROCESSES)])
    with capsys.disabled():
        print(f" {PROCESSES} processes, {done} commands in {SECONDS} s", end="")
    assert done > PROCESSES * 5


def whole(store: Store, owned: list[dict[str, str]]) -> None:
    """Each tree that somebody calls his own is the base, but for its mark."""
    base = content(store, store.find("base"))
    for name, mark in ((name, mark) for own in owned for name, mark in own.items()):
        tree = store.find(name)
        with opened(store, tree, "ro") as root:
            assert (root / "mark").read_text() == f"{mark}\n"
            found = [each for each in differences(base, manifest(root)) if each.path != "mark"]
        # Each build makes its mount points anew, and a launch takes away again what it had to make in /etc.
        assert all((each.aspect, each.path) in {("mtime", path) for path in MADE} for each in found), (name, found)


def live(member: Member, until: float, said: Path) -> None:
    import traceback

    try:
        member.live(until)
        said.write_text(str(member.done))
        os._exit(0)
    except BaseException:
        said.write_text(traceback.format_exc())
    finally:
        os._exit(1)
