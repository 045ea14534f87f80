"""The verbs that need no recipe and start nothing, and how the command behaves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import Command, environment, make_tree

from treesmith.store import Store, Tree
from treesmith.verbs.table import VERBS


def test_help_lists_every_verb_in_its_family(treesmith: Command) -> None:
    lines = treesmith("--help").stdout.splitlines()
    for verb in VERBS.values():
        family = lines.index(f"{verb.family}:")
        assert any(line.split()[:1] == [verb.name] for line in lines[family : family + 12])
    assert treesmith("-h").stdout == "\n".join(lines) + "\n"


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help(treesmith: Command, verb: str) -> None:
    text = " ".join(treesmith(verb, "--help").stdout.split())
    assert f"Usage: treesmith {verb} {' '.join(VERBS[verb].usage())}" in text
    for part in [*VERBS[verb].options, *VERBS[verb].arguments]:
        assert part.help in text


def test_nothing_asked_shows_help_and_is_a_usage_error(treesmith: Command) -> None:
    assert "Usage: treesmith" in treesmith(status=2).stdout


@pytest.mark.parametrize("words", [["--version"], ["ls", "--version"], ["--version", "ls"], ["--quiet", "--version"]])
def test_version(treesmith: Command, words: list[str]) -> None:
    assert treesmith(*words).stdout.startswith("treesmith 0.")


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["run"], 2, "treesmith launch"),
        (["exec"], 2, "treesmith enter"),
        (["snapshto"], 2, "did you mean 'snapshot'?"),
        (["ls", "--jsn"], 2, "did you mean --json?"),
        (["ls", "--nope"], 2, "treesmith ls --help"),
        (["ls", "extra"], 2, "usage: treesmith ls [OPTIONS]"),
        (["snapshot", "a"], 2, "missing argument 'NAME'"),
        (["build", "x", "--max-age", "soon"], 2, "'soon' is not a valid int"),
        (["--store"], 2, "'--store' requires an argument"),
        (["--quiet"], 2, "a verb is missing"),
        (["launch"], 125, "missing argument 'TREE'"),
        (["launch", "base", "cat", "/x"], 125, "treesmith launch TREE -- COMMAND"),
        (["launch", "--nope", "base", "--", "true"], 125, "no such option: --nope"),
    ],
)
def test_usage_errors(treesmith: Command, words: list[str], status: int, says: str) -> None:
    done = treesmith(*words, status=status)
    assert done.stderr.startswith("treesmith: ")
    assert says in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["ls"], ["show", "x"], ["path", "x"], ["rm", "x"], ["snapshot", "x", "y"]])
def test_without_a_store_there_is_a_hint(treesmith: Command, words: list[str]) -> None:
    done = treesmith(*words, status=1)
    assert "no store at" in done.stderr
    assert "the first treesmith build makes one" in done.stderr


def test_a_store_by_option_beats_the_environment(treesmith: Command, tmp_path: Path, base: Tree) -> None:
    for words in (["--store", "/nowhere", "ls"], ["ls", "--store=/nowhere"]):
        assert "no store at /nowhere" in treesmith(*words, status=1).stderr
    assert "base" in treesmith("ls").stdout


def test_ls_in_a_pipe_and_as_json(treesmith: Command, store: Store, base: Tree) -> None:
    assert json.loads(treesmith("ls", "--size", "--json").stdout)["trees"][0]["bytes"] > 1 << 20
    web = store.snapshot(base, "web")
    lines = [line.split() for line in treesmith("ls").stdout.splitlines()]
    assert lines[0] == ["NAME", "ID", "KIND", "STATE", "CREATED", "FROM"]
    assert [line[:4] for line in lines[1:]] == [
        ["base", f"@{base.id[:8]}", "build", "sealed"],
        ["web", f"@{web.id[:8]}", "snapshot", "writable"],
    ]
    assert [line[-1] for line in lines[1:]] == ["/recipes/base.toml", "base"]
    answer = json.loads(treesmith("ls", "--json", "--size").stdout)
    assert answer["version"] == 1
    described = {tree["name"]: tree for tree in answer["trees"]}
    assert described["web"]["parent"] == base.id
    assert described["web"]["from"] == "base"
    assert described["web"]["shared_bytes"] is not None
    assert described["base"]["damaged"] is None


def test_a_damaged_tree_is_shown_and_can_be_removed(treesmith: Command, store: Store, base: Tree) -> None:
    store.snapshot(base, "web")
    (Path(store.find("web").home) / "tree.json").write_text("{")
    text = treesmith("ls").stdout
    assert "damaged" in text
    assert "base" in text
    trees = {tree["name"]: tree for tree in json.loads(treesmith("ls", "--json").stdout)["trees"]}
    assert trees["web"]["damaged"]
    assert trees["web"]["kind"] is None
    assert "damaged" in treesmith("show", "web", status=1).stderr
    treesmith("rm", "web")
    assert "web" not in treesmith("ls").stdout


def test_a_pinned_tree_stays(treesmith: Command, store: Store, base: Tree) -> None:
    store.snapshot(base, "web")
    assert treesmith("pin", "web").stderr == "web is pinned\n"
    treesmith("pin", "web")
    said = treesmith("rm", "web", status=1).stderr
    assert "web: pinned" in said and "treesmith pin --off web" in said
    treesmith("prune", "--keep-last=0")
    assert "web" in store.names() and "pinned" in treesmith("show", "web").stdout
    assert treesmith("pin", "--off", "web").stderr == "web is no longer pinned\n"
    treesmith("prune", "--keep-last=0")
    assert "web" not in store.names()


def test_snapshot_rename_seal_rm(treesmith: Command, store: Store, base: Tree) -> None:
    treesmith("snapshot", "base", "web")
    assert "web" in treesmith("snapshot", "base", "web", status=1).stderr
    treesmith("rename", "web", "shop")
    treesmith("snapshot", "shop", "copy")
    treesmith("seal", "shop")
    assert store.find("shop").sealed
    assert "already" in treesmith("seal", "shop").stderr
    refused = treesmith("rm", "shop", status=1).stderr
    assert "copy" in refused
    planned = treesmith("rm", "--recursive", "--dry-run", "base").stdout
    assert planned.splitlines() == ["copy  (from shop)", "shop  (from base)", "base"]
    assert set(store.names()) == {"base", "shop", "copy"}
    treesmith("rm", "copy", "shop")
    assert set(store.names()) == {"base"}


def test_names_are_checked(treesmith: Command, base: Tree) -> None:
    for name in ("../x", "", "x.toml", "A", "a" * 65):
        assert "cannot name a tree" in treesmith("snapshot", "base", name, status=2).stderr
    assert "no tree bsae" in treesmith("snapshot", "bsae", "x", status=1).stderr
    assert "did you mean base?" in treesmith("snapshot", "bsae", "x", status=1).stderr


def test_path_prints_a_root_or_names_mount(treesmith: Command, store: Store, base: Tree) -> None:
    if store.backend.traits.host_path:
        path = treesmith("path", "base").stdout.strip()
        assert os.path.exists(f"{path}/bin/busybox")
    else:
        assert "treesmith mount base" in treesmith("path", "base", status=1).stderr


def test_quiet_says_nothing(treesmith: Command, base: Tree) -> None:
    for words in (["snapshot", "base", "web"], ["rename", "web", "shop"], ["seal", "shop"], ["rm", "shop"]):
        done = treesmith("--quiet", *words)
        assert (done.stdout, done.stderr) == ("", "")


def test_an_unforeseen_failure_is_one_line(treesmith: Command, store_path: Path, base: Tree) -> None:
    (store_path / "names").rename(store_path / "names.away")
    done = treesmith("ls", status=1)
    assert "names: No such file or directory" in done.stderr
    assert "--verbose" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in treesmith("ls", "--verbose", status=1).stderr
    assert treesmith("launch", "base", "--", "true", status=125)


@pytest.mark.parametrize("words", [["ls"], ["ls", "--json"], ["--help"]])
def test_a_reader_that_went_away_is_no_traceback(store_path: Path, base: Tree, words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, "-m", "treesmith", *words]
    done = subprocess.run(
        argv, env=environment(store_path), stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_closed_streams_are_no_traceback(store_path: Path, base: Tree) -> None:
    script = 'exec "$0" -m treesmith "$@" >&- 2>&- <&-'
    argv = ["/bin/sh", "-c", script, sys.executable, "snapshot", "base", "web"]
    assert subprocess.run(argv, env=environment(store_path), check=False).returncode == 0


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("treesmith sn", ["snapshot"]),
        ("treesmith ls --js", ["--json"]),
        ("treesmith show ", ["base", "web"]),
        ("treesmith rm base w", ["web"]),
        ("treesmith launch --network ", ["none", "private", "host"]),
        ("treesmith --store /nowhere show ", []),
        ("treesmith show --store /nowhere ", []),
    ],
)
def test_completion(treesmith: Command, store: Store, base: Tree, words: str, offered: list[str]) -> None:
    store.snapshot(base, "web")
    at = str(len(words.split(" ")) - 1)
    done = treesmith(_TREESMITH_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=at)
    assert done.stdout.split() == offered
    assert done.stderr == ""


def test_completion_installs_itself(treesmith: Command) -> None:
    # Typer asks its parent process which shell it is, and here that is no shell.
    shown = treesmith("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "_TREESMITH_COMPLETE" in shown.stdout


def test_an_empty_store_is_an_empty_listing(treesmith: Command, store: Store) -> None:
    assert treesmith("ls").stdout.splitlines() == ["NAME  ID  KIND  STATE  CREATED  FROM"]
    assert json.loads(treesmith("ls", "--json").stdout) == {"version": 1, "trees": []}


def test_unnamed_trees_are_listed_when_asked_for(treesmith: Command, store: Store, base: Tree) -> None:
    with store.stage() as stage:
        stage.fork(base)
        step = store.publish(stage, "step", key="k" * 64, sealed=True)
    assert step.id[:8] not in treesmith("ls").stdout
    assert f"@{step.id[:8]}" in treesmith("ls", "--all").stdout
    make_tree(store, "other")
