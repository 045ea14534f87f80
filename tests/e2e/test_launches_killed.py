"""SIGKILL at each stage of a boot, and of a launch in the background, with limits, with binds: what it leaves is gone
after the next verb, whatever that is about."""

import os
from collections.abc import Sequence
from pathlib import Path

import leaks
import pytest
from killing import CALLS, Victim, lives
from launching import Trees, wait_for

from treesmith.launch import containers
from treesmith.store import records

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
        assert records.POINTS not in os.listdir(trees.store.find(tree).home), (call, when)
        left = [folder for folder in folders if folder.exists()], os.listdir(containers.RUN)
        assert left == ([], []), (call, when)
    trees.store.recover()
    assert not os.listdir(f"{trees.store.path}/staging")
    assert not leaks.since(before)
    with capsys.disabled():
        print(f" {points} points", end="")
    assert points > 10
