"""SIGKILL at every rename, mkdir, unlink, link, symlink and sync of a real build, snapshot and prune, also of their
sandboxes and tools. Afterwards `ls` works, no tree is half there, prune leaves exactly the good trees, and the same
command goes through.
"""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import roots
import strike
from command import environment

RECIPE = '[[step]]\ntar = {{ file = "base.tar" }}\n[[step]]\nrun = "mkdir /d; echo {0} > /d/one; echo {0} > /d/two"\n'


class Ground:
    """A store with app, built from the recipe's first version, and a snapshot of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, folder / "store"
        self.env = environment(self.store)
        with tarfile.open(folder / "base.tar", "w") as archive:
            archive.add(roots.busybox(folder / "root"), ".")
        self.treesmith("build", self.recipe("old"))
        self.treesmith("snapshot", "app", "web")
        self.store.rename(folder / "first")

    def recipe(self, word: str) -> str:
        path = self.folder / "app.toml"
        path.write_text(RECIPE.format(word))
        return str(path)

    def fresh(self) -> None:
        shutil.rmtree(self.store, ignore_errors=True)
        subprocess.run(["cp", "-a", self.folder / "first", self.store], check=True)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "treesmith", *words]

    def treesmith(self, *words: str) -> str:
        done = subprocess.run(
            self.command(*words), env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def words(self, tree: str) -> set[str]:
        """What the recipe wrote into the two files of a tree."""
        return set(self.treesmith("launch", "-q", "--ephemeral", tree, "--", "cat", "/d/one", "/d/two").split())

    def trees(self) -> dict[str, str]:
        """name -> id; nothing is damaged."""
        listed = json.loads(self.treesmith("ls", "--json", "--all"))["trees"]
        assert not [tree for tree in listed if tree["damaged"]], listed
        return {tree["name"]: tree["id"] for tree in listed if tree["name"]}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("kill"))


def test_every_call_of_a_build(ground: Ground, request: pytest.FixtureRequest) -> None:
    recipe, hits = ground.recipe("new"), 0
    for blow in strike.each(ground.command("build", recipe), ground.folder, ground.fresh, env=ground.env):
        hits += blow.hit
        assert ground.words("web") == {"old"}, blow
        assert ground.words("app") in ({"old"}, {"new"}), blow
        assert {"app", "web"} <= set(ground.trees()) <= {"app", "app@1", "web"}, blow
        ground.treesmith("prune")
        assert {"app", "web"} <= set(ground.trees()), blow
        ground.treesmith("build", recipe)
        ground.treesmith("prune")
        assert ground.words("app") == {"new"} and ground.words("app@1") == {"old"}, blow
        assert set(ground.trees()) == {"app", "app@1", "web"}, blow
        assert not any((ground.store / "staging").iterdir()) and not any((ground.store / "trash").iterdir()), blow
    report(request, "build", hits)


def test_every_call_of_a_snapshot(ground: Ground, request: pytest.FixtureRequest) -> None:
    hits = 0
    for blow in strike.each(ground.command("snapshot", "web", "copy"), ground.folder, ground.fresh, env=ground.env):
        hits += blow.hit
        for name in ground.trees():
            assert ground.words(name) == {"old"}, blow
        if "copy" not in ground.trees():
            ground.treesmith("snapshot", "web", "copy")
        ground.treesmith("prune")
        assert set(ground.trees()) == {"app", "web", "copy"}, blow
        assert ground.words("copy") == ground.words("web") == {"old"}, blow
    report(request, "snapshot", hits)


def test_every_call_of_a_prune(ground: Ground, request: pytest.FixtureRequest) -> None:
    recipe, hits = ground.recipe("new"), 0

    def superseded() -> None:
        ground.fresh()
        ground.treesmith("rm", "web")
        ground.treesmith("build", recipe)

    for blow in strike.each(ground.command("prune"), ground.folder, superseded, env=ground.env):
        hits += blow.hit
        assert ground.words("app") == {"new"}, blow
        ground.treesmith("prune")
        assert set(ground.trees()) == {"app"} and ground.words("app") == {"new"}, blow
    report(request, "prune", hits)


def report(request: pytest.FixtureRequest, what: str, hits: int) -> None:
    assert hits > 5, "the injection hits nothing"
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{what}: killed at {hits} points", end="")
