"""show, history and recipes; and a shell where a step failed."""

import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import roots
from command import Command, environment, make_tree

from treesmith.store import Store, Tree

ENTRY = {
    "recipe": "base",
    "kind": "apt",
    "name": "",
    "key": "0" * 64,
    "pinned": True,
    "seconds": 65.5,
    "bytes": 3 << 20,
    "made": {"packages": {"a": "1", "b": "2"}},
    "created": 10**9,
}


@pytest.fixture
def built(store: Store) -> Tree:
    """A tree of two steps, one with a log and one whose tree is gone."""
    with store.stage() as stage:
        stage.create()
        Path(stage.home, "log").write_bytes(b"Setting up x\xff\n")
        step = store.publish(stage, "step", key="1" * 64, sealed=True)
    steps = [
        {**ENTRY, "number": 1, "tree": step.id},
        {**ENTRY, "number": 2, "tree": "0" * 16, "kind": "run", "name": "fill", "pinned": False, "made": {}},
    ]
    return make_tree(store, "base", steps=steps, launch={"command": ["sh", "-l"], "env": {"A": "b"}}, labels={"x": "y"})


def test_show(treesmith: Command, store: Store, built: Tree) -> None:
    store.snapshot(built, "web")
    fields = {line[:9].strip(): line[9:].strip() for line in treesmith("show", "base").stdout.splitlines()}
    assert fields["name"] == "base"
    assert fields["id"] == f"@{built.id}"
    assert (fields["kind"], fields["state"]) == ("build", "sealed")
    assert (fields["recipe"], fields["launch"], fields["labels"]) == ("/recipes/base.toml", "command = sh -l", "x = y")
    assert fields["backend"] == store.backend.name
    assert "from     base" in treesmith("show", "web").stdout
    answer = json.loads(treesmith("show", f"@{built.id[:6]}", "--json").stdout)
    assert answer["version"] == 1
    assert answer["tree"]["launch"] == {"command": ["sh", "-l"], "env": {"A": "b"}}
    assert answer["tree"]["name"] == "base"


def test_history(treesmith: Command, store: Store, built: Tree) -> None:
    web = store.snapshot(built, "web")
    lines = [line.split() for line in treesmith("history", "web", TZ="UTC").stdout.splitlines()]
    assert lines[:3] == [
        ["STEP", "RECIPE", "WHAT", "WHEN", "TOOK", "ADDED", "PACKAGES", "SOURCE"],
        ["1", "base", "apt", "2001-09-09", "01:46", "1", "min", "5", "s", "3.0", "MiB", "2"],
        ["2", "base", "run", "(fill)", "2001-09-09", "01:46", "1", "min", "5", "s", "3.0", "MiB", "unpinned"],
    ]
    assert lines[3][:3] == ["-", "snapshot", "web"]
    answer = json.loads(treesmith("history", "web", "--json").stdout)
    assert [(step["n"], step["kind"]) for step in answer["steps"]] == [(1, "apt"), (2, "run")]
    assert [(step["bytes"], step["packages"]) for step in answer["steps"]] == [
        (3 << 20, {"a": "1", "b": "2"}),
        (3 << 20, None),
    ]
    assert answer["snapshots"] == [{"name": "web", "id": web.id, "created": web.created}]


def test_history_measures_each_step(treesmith: Command, store: Store, recipe: Callable[..., str]) -> None:
    write = "head -c 1000000 /dev/urandom >/NAME"
    treesmith("build", recipe("".join(f'[[step]]\nrun = "{write.replace("NAME", name)}"\n' for name in ("a", "b"))))
    found = [step["bytes"] for step in json.loads(treesmith("history", "app", "--json").stdout)["steps"]]
    assert found[0] > 100_000 and all(1_000_000 <= size < 1_100_000 for size in found[1:]), found


def test_logs(store: Store, built: Tree, treesmith: Command, store_path: Path) -> None:
    for wanted in ("--log=1", "--log=apt"):
        argv = [sys.executable, "-m", "treesmith", "history", "base", wanted]
        done = subprocess.run(argv, env=environment(store_path), capture_output=True, check=True)
        assert done.stdout == b"Setting up x\xff\n", "a log is handed on as it is"
    for wanted in ("--log=2", "--log=fill"):
        assert "the log of step 2 is gone" in treesmith("history", "base", wanted, status=1).stderr
    refused = treesmith("history", "base", "--log=9", status=1).stderr
    assert "no step '9'" in refused
    assert "1 apt, 2 run (fill)" in refused
    argv = [sys.executable, "-m", "treesmith", "history", "--log", "base"]
    whole = subprocess.run(argv, env=environment(store_path), capture_output=True, check=True).stdout
    assert whole.startswith(b"--- 1: apt\nSetting up x\xff\n--- 2: run (fill)\n")


def test_recipes(treesmith: Command, tmp_path: Path) -> None:
    folder = tmp_path / ".config/treesmith/recipes"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text('description = "My own"\nfrom = "debian-base"\n[[step]]\nrun = "true"\n')
    (folder / "wrong.toml").write_text("[[step]]\nnope = 1\n")
    lines = treesmith("recipes").stdout.splitlines()
    assert lines[0].split() == ["NAME", "FROM", "WHERE", "DESCRIPTION"]
    found = {line.split()[0]: line for line in lines[1:]}
    assert found["mine"].split() == ["mine", "debian-base", "~/.config/treesmith/recipes/mine.toml", "My", "own"]
    assert "'nope'" in found["wrong"]
    assert " shipped " in found["debian-base"]
    described = {recipe["name"]: recipe for recipe in json.loads(treesmith("recipes", "--json").stdout)["recipes"]}
    assert described["mine"]["error"] is None
    assert described["wrong"]["error"]
    words = "treesmith build m"
    done = treesmith(_TREESMITH_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD="2")
    assert done.stdout.split() == ["mine"]


def test_a_recipe_to_start_from(treesmith: Command, store: Store, tmp_path: Path) -> None:
    assert treesmith("recipes", "--new", "mine").stdout == "mine.toml: treesmith build ./mine.toml\n"
    assert "make  mine" in treesmith("build", "./mine.toml", "--dry-run").stdout
    assert "mine.toml is there already" in treesmith("recipes", "--new", "mine", status=2).stderr
    assert "../x" in treesmith("recipes", "--new", "../x", status=2).stderr
    text = (tmp_path / "mine.toml").read_text()
    busybox_recipe(tmp_path, "true")
    mine = text.replace('"debian-base"', '"./app.toml"').replace('apt = ["ca-certificates"]', 'run = "true"')
    (tmp_path / "mine.toml").write_text(mine)
    treesmith("build", "./mine.toml", "--set", "greeting=hi there")
    assert treesmith("launch", "-q", "mine").stdout == "hi there\n"


def test_a_schema_for_editors(treesmith: Command) -> None:
    document = json.loads(treesmith("recipes", "--schema").stdout)
    assert document["$schema"].startswith("http://json-schema.org/draft-07/")
    assert "one at a time" in treesmith("recipes", "--schema", "--json", status=2).stderr


def test_what_a_build_can_be_asked(treesmith: Command, tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text('[[step]]\ntar = { file = "base.tar" }\n')
    refused = treesmith("build", "./app.toml", "other", "--name", "x", status=2).stderr
    assert "--name names one tree" in refused
    assert "--dry-run --json" in treesmith("build", "./app.toml", "--json", status=2).stderr
    assert "--set VAR=VALUE" in treesmith("build", "./app.toml", "--set", "x", status=2).stderr
    assert "--secret NAME=FILE" in treesmith("build", "./app.toml", "--secret", "=x", status=2).stderr
    assert os.listdir(tmp_path) == ["app.toml"]


def busybox_recipe(folder: Path, script: str) -> str:
    with tarfile.open(folder / "base.tar", "w") as archive:
        archive.add(roots.busybox(folder / "root"), ".")
    (folder / "app.toml").write_text(f'[[step]]\ntar = {{ file = "base.tar" }}\n[[step]]\nrun = "{script}"\n')
    return str(folder / "app.toml")


def test_an_interrupted_build_ends_at_once(store: Store, store_path: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "treesmith", "build", "-v", busybox_recipe(tmp_path, "echo up; sleep 1000")]
    building = subprocess.Popen(argv, env=environment(store_path), stderr=subprocess.PIPE, text=True)
    assert building.stderr
    while (line := building.stderr.readline()) and line.strip() != "up":
        pass
    building.send_signal(signal.SIGINT)
    rest = building.stderr.read()
    assert building.wait() == 130
    assert "Traceback" not in rest
    assert "[2/3] failed" in rest
    assert store.names() == {}
    assert os.listdir(f"{store_path}/staging") == []


def test_a_shell_where_a_step_failed(store: Store, store_path: Path, tmp_path: Path) -> None:
    recipe = busybox_recipe(tmp_path, "echo half > /made; exit 3")
    argv = [sys.executable, "-m", "treesmith", "build", recipe, "--shell-on-failure"]
    done = subprocess.run(
        argv, env=environment(store_path), input="cat /made; echo as $(id -u)\n", capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == "half\nas 0\n"
    assert "status 3" in done.stderr
    assert store.names() == {}
