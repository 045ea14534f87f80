"""The verbs that people wait for import nothing slow."""

import subprocess
import sys
from pathlib import Path

import pytest
from command import environment

from treesmith.store import Store, Tree

SLOW = {
    "collections", "contextlib", "ctypes", "dataclasses", "enum", "functools", "importlib.metadata", "inspect", "json",
    "pathlib", "re", "rich", "signal", "socket", "struct", "subprocess", "threading", "typer", "typing",
}  # fmt: skip


def imported(store: Path, *words: str) -> set[str]:
    """Every module of a real run, as the console script runs it. -S: what a site brings in is not ours."""
    argv = [sys.executable, "-S", "-X", "importtime", "-c", "from treesmith.__main__ import main; main()", *words]
    done = subprocess.run(argv, env=environment(store), capture_output=True, text=True, check=True)
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize(
    "words",
    [
        ["ls"],
        ["path", "base"],
        ["snapshot", "base", "web"],
        ["ps"],
        ["ps", "--usage"],
        ["--store", "{store}", "ls", "-a"],
        ["launch", "base", "--", "true"],
        ["launch", "--detach", "base", "--", "true"],
        ["launch", "base", "--setenv=A=B", "--user", "me", "--pipe", "--", "true"],
    ],
)
def test_a_hot_verb_imports_nothing_slow(store: Store, base: Tree, words: list[str]) -> None:
    if words[0] == "path" and not store.backend.traits.host_path:
        pytest.skip(f"{store.backend.name} has no path to print")
    modules = imported(Path(store.path), *(word.format(store=store.path) for word in words))
    assert "treesmith.store.store" in modules
    assert not modules & SLOW


NOT_ASKED_FOR = {
    "treesmith.launch.detach", "treesmith.launch.join", "treesmith.launch.kept", "treesmith.launch.machine",
    "treesmith.launch.network", "treesmith.launch.terminal", "treesmith.sandbox.enforce", "treesmith.sandbox.enter",
    "treesmith.sandbox.limits", "treesmith.sandbox.policy", "treesmith.spec.mounts", "treesmith.spec.ports", "termios",
}  # fmt: skip


def test_a_plain_launch_imports_nothing_that_it_was_not_asked_for(store: Store, base: Tree) -> None:
    words = ("launch", "-q", "base", "--", "true")
    imported(Path(store.path), *words)  # by which the filter is made
    assert not imported(Path(store.path), *words) & NOT_ASKED_FOR


def test_a_snapshot_needs_no_calls_of_ours(store: Store, base: Tree) -> None:
    if store.backend.name != "overlay":
        pytest.skip(f"{store.backend.name} makes one by calls of its own")
    imported(Path(store.path), "snapshot", "base", "first")  # by which what dead ones left goes
    assert not imported(Path(store.path), "snapshot", "base", "web") & {"_ctypes", "treesmith.store.recovery"}


def test_the_test_would_notice(store: Store, base: Tree) -> None:
    assert imported(Path(store.path), "ls", "--json") & SLOW == {"collections", "enum", "functools", "json", "re"}


def test_enter(store: Store, base: Tree) -> None:
    path = Path(store.path)
    launch = [sys.executable, "-m", "treesmith", "launch", "-qd", "base", "--", "sleep", "1000"]
    launch[4:5] = ["-q", "-d"]
    name = subprocess.run(launch, env=environment(path), capture_output=True, text=True, check=True).stdout.strip()
    assert not imported(path, "enter", name, "--", "true") & SLOW
    subprocess.run([*launch[:3], "stop", name], env=environment(path), check=True)
