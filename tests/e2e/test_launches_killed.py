"""SIGKILL at each stage of a boot, a launch in the background, with limits, with binds, and of an enter: what it leaves
is gone after the next verb, whatever that is about."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import leaks
import pytest
from ground import cgroup_folder, cgroups
from killing import CALLS, Victim
from launching import PATIENCE, Trees, wait_for

from treesmith.launch import containers

# name -> (options, command, the calls that count, whether the children's count too)
LAUNCHES: dict[str, tuple[Sequence[str], Sequence[str], Sequence[str], bool]] = {
    "binds": (
        ("--bind=/SRC:/data/deep:ro", "--bind=/SRC/file:/opt/file:ro", "--overlay=/SRC:/lay", "--tmpfs=/scratch",
         "--read-only"),
        ("true",), CALLS, False,
    ),
    "boot": (("--boot",), ("/bin/sh", "-c", "poweroff -f"), CALLS, False),
    "detached": (
        ("--detach",), ("true",),
        ("flock", "mkdir", "mkdirat", "write", "pwrite64", "fork", "clone", "clone3", "setsid", "recvfrom", "rmdir"),
        True,
    ),
    "limits": (
        ("--memory=64M", "--pids=50", "--cpus=1"), ("true",), ("mkdir", "mkdirat", "write", "clone3", "rmdir"), False,
    ),
}  # fmt: skip
MOST = {"binds": 2, "boot": 2, "detached": 2, "limits": 4}  # of each call


def lives() -> list[str]:
    """What is in a cgroup of ours."""
    found = []
    for folder in cgroups(cgroup_folder()):
        try:
            found += (folder / "cgroup.procs").read_text().split()
        except OSError:
            continue
    return found


def inside(trees: Trees, name: str) -> set[str]:
    """What is in a tree."""
    view = trees.store.backend.open(trees.store.find(name), "ro")
    root = view.mount()
    try:
        top = f"/proc/self/fd/{root}/"
        return {
            f"{folder.removeprefix(top)}/{name}" for folder, *both in os.walk(top) for names in both for name in names
        }
    finally:
        os.close(root)
        view.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", LAUNCHES)
def test_a_launch(trees: Trees, tree: str, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").touch()
    options, command, calls, follow = LAUNCHES[kind]
    words = [word.replace("/SRC", str(source)) for word in options]
    victim = Victim(
        trees.argv("launch", "-q", *words, tree, "--", *command), trees.environment, tmp_path / "trace", follow
    )
    before = leaks.state()
    moments = victim.moments(MOST[kind], calls)
    wait_for("its end", lambda: not lives())
    trees.sh("true")
    there, points = inside(trees, tree), 0
    for call, when in moments:
        points += victim.kill(call, when)
        folders = list(victim.paths("mkdir", "treesmith-"))
        wait_for(f"the end of what {call} {when} was to end", lambda: not lives())
        assert trees.sh("echo fine") == "fine\n"
        assert inside(trees, tree) == there, (call, when)
        assert os.listdir(trees.store.find(tree).home) == ["tree.json"], (call, when)
        left = [folder for folder in folders if folder.exists()], os.listdir(containers.RUN)
        assert left == ([], []), (call, when)
    trees.store.recover()
    assert not os.listdir(f"{trees.store.path}/staging")
    assert not leaks.since(before)
    with capsys.disabled():
        print(f" {points} points", end="")
    assert points > 12


@pytest.mark.slow
def test_who_enters(trees: Trees, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of it lives on, or holds up the end of a container whose first process buries nobody."""
    launched = trees.run("launch", "-q", "-d", "--boot", "base", "--", "/bin/sh", "-c", "echo up; exec sleep 1000")
    name = launched.stdout.strip()
    record = containers.find(trees.store.path, name)
    listed = Path(record["cgroup"], "cgroup.procs")
    victim = Victim(trees.argv("enter", name, "--", "sleep", "0.1"), trees.environment, tmp_path / "trace")
    points = 0
    for call, when in victim.moments(2):
        points += victim.kill(call, when)
        wait_for(f"the end of what entered, {call} {when}", lambda: listed.read_text().split() == [str(record["pid"])])
    assert trees.run("enter", name, "--", "echo", "fine").stdout == "fine\n"
    began = time.monotonic()
    assert trees.run("stop", "--timeout", "0", name).returncode == 0
    assert time.monotonic() - began < PATIENCE / 2
    with capsys.disabled():
        print(f" {points} points", end="")
    assert points > 10
