"""Where CRIU is missing, or does not know the kernel, nothing happens. What works is in tests/guest."""

import os
import subprocess
from pathlib import Path

import pytest
from launching import Trees, wait_for

works = not subprocess.run(["sh", "-c", "criu check"], capture_output=True, check=False).returncode


@pytest.fixture
def box(trees: Trees, tree: str) -> str:
    trees.run("launch", "-q", "-d", tree, "--", "sleep", "1000")
    return tree


def refused(trees: Trees, box: str) -> str:
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


def test_nothing_is_frozen(trees: Trees, tree: str) -> None:
    done = trees.run("launch", "--from-checkpoint", tree)
    assert done.returncode == 125 and f"nothing of {tree} is frozen to disk" in done.stderr
    done = trees.run("launch", "--from-checkpoint", tree, "--", "true")
    assert done.returncode == 125 and "--from-checkpoint and a command exclude each other" in done.stderr
    wait_for("its lock", lambda: not trees.store.in_use(trees.store.find(tree).id))
