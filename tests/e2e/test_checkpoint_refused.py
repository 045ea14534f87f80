"""Where CRIU is missing, or does not know the kernel, nothing happens. What works is in tests/guest."""

import os
import subprocess
from pathlib import Path

import pytest
import roots
from launching import Trees, wait_for
from plain import Plain

works = not subprocess.run(["sh", "-c", "criu check"], capture_output=True, check=False).returncode


@pytest.fixture
def box(trees: Trees, tree: str) -> str:
    trees.run("launch", "-q", "-d", tree, "--", "sleep", "1000")
    return tree


def refused(trees: Trees, box: str) -> str:
    """What it says; and nothing has happened."""
    done = trees.run("checkpoint", box)
    assert done.returncode == 1
    assert trees.run("enter", box, "--", "echo", "runs").stdout == "runs\n"
    assert not [name for name in os.listdir(trees.store.find(box).home) if name.startswith("checkpoint")]
    trees.run("stop", "--signal", "KILL", box)
    return done.stderr


def test_it_is_not_installed(trees: Trees, box: str, tmp_path: Path) -> None:
    before, trees.environment["PATH"] = trees.environment["PATH"], str(tmp_path)
    try:
        said = refused(trees, box)
    finally:
        trees.environment["PATH"] = before
    assert "CRIU is not installed" in said and "apt install criu" in said


@pytest.mark.skipif(works, reason="criu works on this kernel: see tests/guest/test_checkpoint.py")
def test_it_does_not_know_the_kernel(trees: Trees, box: str) -> None:
    said = refused(trees, box)
    assert "nothing can be frozen to disk on this machine" in said and "criu check: " in said
    assert "a CRIU that knows this kernel" in said and "a CRIU that knows this kernel" in trees.run("doctor").stdout


def test_nothing_is_frozen(trees: Trees, tree: str) -> None:
    done = trees.run("launch", "--from-checkpoint", tree)
    assert done.returncode == 125 and f"nothing of {tree} is frozen to disk" in done.stderr
    done = trees.run("launch", "--from-checkpoint", tree, "--", "true")
    assert done.returncode == 125 and "--from-checkpoint and a command exclude each other" in done.stderr
    wait_for("its lock", lambda: not trees.store.in_use(trees.store.find(tree).id))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--ephemeral",), "it runs on a throw-away copy"),
        (("--bind", "/mnt:/mnt"), "folders of the host are bound into it"),
        (("--network", "host"), "it is on a network: host"),
        (("--private-users", "no"), "its ids are the host's"),
        (("--cap-add", "SYS_ADMIN"), "it may mount"),
        (("--pids", "20"), "it has limits"),
        (("--boot",), "it is a whole system"),
    ],
)
def test_what_is_tied_to_the_host_or_the_moment(trees: Trees, tree: str, words: tuple[str, ...], why: str) -> None:
    done = trees.run("launch", "-q", "-d", *words, "--name", "odd", tree, "--", "sleep", "1000")
    assert done.stdout == "odd\n", done.stderr
    done = trees.run("checkpoint", "odd")
    trees.run("stop", "--signal", "KILL", "odd")
    assert done.returncode == 1 and "odd cannot be frozen to disk" in done.stderr and why in done.stderr


def test_a_plain_users(tmp_path: Path) -> None:
    me = Plain()
    try:
        me.add("base", roots.busybox(tmp_path / "root"))
        me.run("launch", "-q", "-d", "--name", "mine", "base", "--", "sleep", "1000")
        assert "that takes root" in me.run("checkpoint", "mine", status=1).stderr
        me.run("stop", "--signal", "KILL", "mine")
    finally:
        me.close()
