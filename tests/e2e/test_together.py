"""Several commands at once on one store: nothing is lost, and whoever waits or is refused is told why."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Command, environment

from treesmith.store import Store, Tree

Recipe = Callable[..., str]


@pytest.fixture
def begin(store_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """`begin(*words)`: the command, running."""

    def command(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "treesmith", *words], env=environment(store_path), cwd=store_path.parent, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    return command


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out + err


def test_two_builds_of_one_recipe(
    treesmith: Command, begin: Callable[..., subprocess.Popen[str]], store: Store, recipe: Recipe
) -> None:
    path = recipe('[[step]]\nrun = "sleep 1; date +%N > /n"\n')
    results = [ended(process) for process in [begin("build", path), begin("build", path)]]
    assert [status for status, _ in results] == [0, 0], results
    assert sum("waiting for another build of app" in said for _, said in results) == 1
    assert sum("nothing to do" in said for _, said in results) == 1
    assert set(store.names()) == {"app"}


def test_prune_during_a_build(
    treesmith: Command, begin: Callable[..., subprocess.Popen[str]], store: Store, recipe: Recipe
) -> None:
    steps = "".join(f'[[step]]\nrun = "sleep 0.2; echo {n} > /n{n}"\n' for n in range(8))
    building = begin("build", recipe(steps))
    while building.poll() is None:
        treesmith("prune")
    status, said = ended(building)
    assert status == 0, said
    assert treesmith("launch", "-q", "app", "--", "sh", "-c", "cat /n?").stdout.split() == [str(n) for n in range(8)]


def test_rm_of_what_runs(treesmith: Command, begin: Callable[..., subprocess.Popen[str]], base: Tree) -> None:
    treesmith("snapshot", "base", "web")
    running = begin("launch", "web", "--", "sh", "-c", "echo up; sleep 30")
    assert running.stdout and running.stdout.readline() == "up\n"
    refused = treesmith("rm", "web", status=1)
    assert "web" in refused.stderr and "in use" in refused.stderr + refused.stdout
    again = treesmith("launch", "web", "--", "true", status=125)
    assert "web" in again.stderr
    running.send_signal(signal.SIGTERM)
    assert ended(running)[0] == 128 + signal.SIGTERM
    treesmith("rm", "web")


def test_prune_of_what_runs_on_a_throw_away_copy(
    treesmith: Command, begin: Callable[..., subprocess.Popen[str]], base: Tree
) -> None:
    running = begin("launch", "base", "--", "sh", "-c", "echo up; read x; cat /etc/passwd")
    assert running.stdout and running.stdout.readline() == "up\n"
    treesmith("prune")
    treesmith("rm", "base", status=1)
    status, said = ended(running)
    assert status == 0 and "root" in said, said


def descendants(pid: int) -> list[int]:
    """Of a process, its children first."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return children + [below for child in children for below in descendants(child)]


def test_a_killed_tool_fails_its_step(
    treesmith: Command, begin: Callable[..., subprocess.Popen[str]], store: Store, recipe: Recipe
) -> None:
    """SIGKILL to what a step runs, at 20 random moments."""
    chance = random.Random(21)
    for number in range(20):
        text = f'[[step]]\nrun = "for i in $(seq {2000 + number}); do echo $i > /f$((i % 7)); sleep 0.001; done"\n'
        building = begin("build", recipe(text))
        while not descendants(building.pid)[1:]:  # the first is the sandbox's init
            assert building.poll() is None, ended(building)[1]
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.8))
        for pid in descendants(building.pid)[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        status, said = ended(building)
        assert status == 1 and "step 2: run" in said and "status 137" in said, said
    assert store.names() == {} and not list(Path(store.path, "staging").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_told_to_end_cleans_up(
    begin: Callable[..., subprocess.Popen[str]], store: Store, recipe: Recipe, number: int
) -> None:
    building = begin("build", recipe('[[step]]\nrun = "sleep 60"\n'))
    assert building.stderr and "step 1" in building.stderr.readline()
    while "step 2" not in building.stderr.readline():
        pass
    time.sleep(0.3)
    building.send_signal(number)
    assert ended(building)[0] == 130
    assert not list(Path(store.path, "staging").iterdir())


def test_a_killed_build_leaves_what_prune_finds(
    treesmith: Command, begin: Callable[..., subprocess.Popen[str]], store: Store, recipe: Recipe
) -> None:
    """SIGKILL to the command at 20 random moments; the tool dies with it, and the next build succeeds."""
    chance = random.Random(20)
    steps = "".join('[[step]]\nrun = "for i in $(seq 200); do echo $i > /f$i; done; sleep 0.05"\n' for n in range(4))
    for number in range(20):
        path = recipe(steps.replace("seq 200", f"seq {200 + number}"))
        building = begin("build", path)
        time.sleep(chance.uniform(0.05, 0.7))
        building.kill()
        building.communicate()
        treesmith("ls", "--all")
        assert not [tree for tree in store.trees() if not isinstance(tree, Tree)]
    treesmith("build", recipe(steps))
    treesmith("prune")
    listed = {step["tree"] for step in store.find("app").steps}
    assert {tree.id for tree in store.trees() if isinstance(tree, Tree)} == listed | {store.find("app").id}
    assert not list(Path(store.path, "staging").iterdir()) and not list(Path(store.path, "trash").iterdir())
