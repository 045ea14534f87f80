"""What runs, frozen to disk and gone on with: where CRIU knows the kernel, as in the guest with systemd."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from launching import Trees, wait_for

from treesmith.store import create_store

pytestmark = [
    pytest.mark.skipif(
        subprocess.run(["sh", "-c", "criu check"], capture_output=True, check=False).returncode != 0,
        reason="criu check fails on this kernel: see tests/guest/systemd",
    ),
    pytest.mark.timeout(300),
]
# Counts in its memory and in an open file of the tree, and ends when it is told to.
COUNT = """
echo kept >/dev/shm/memory; exec 7>>/counted; i=0; echo begun
while [ ! -e /stop ]; do i=$((i + 1)); echo $i >&7; sleep 0.05; done
cat /dev/shm/memory; exit 5
"""
ABOUT = "awk '{print $1, $3}' /proc/1/uid_map; grep -hE '^(Cap|Seccomp|NoNew)' /proc/1/status; cat /proc/self/cgroup; "
ABOUT += "cut -d' ' -f4-6 /proc/1/mountinfo | sort; readlink /proc/1/fd/0 | cut -c1-5"


@pytest.fixture(scope="module", params=["overlay", "copy"])
def trees(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trees:
    folder = tmp_path_factory.mktemp("trees")
    create_store(str(folder / "store"), request.param)
    return Trees(folder)


@pytest.fixture
def counter(trees: Trees) -> Iterator[str]:
    """The name of a tree in which it counts."""
    name = trees.fresh()
    count(trees, name)
    yield name
    trees.run("stop", "--signal", "KILL", name)
    subprocess.run(["rm", "-rf", frozen(trees, name)], check=True)
    trees.store.remove([trees.store.find(name)])


def count(trees: Trees, name: str) -> None:
    done = trees.run("launch", "-q", "-d", "--tmpfs", "/scratch", name, "--", "sh", "-c", COUNT)
    assert done.stdout == f"{name}\n", done.stderr
    wait_for("it to count", lambda: len(counted(trees, name)) > 3)


def counted(trees: Trees, name: str) -> list[str]:
    return trees.run("enter", name, "--", "cat", "/counted").stdout.split()


def frozen(trees: Trees, name: str) -> Path:
    return Path(trees.store.find(name).home, "checkpoint")


def running(trees: Trees) -> bool:
    return '"pid"' in trees.run("ps", "--json").stdout


def goes_on(trees: Trees, name: str) -> None:
    """It counts without a gap, and ends with its own status."""
    before = len(counted(trees, name))
    wait_for("it to count", lambda: len(counted(trees, name)) > before + 2)
    numbers = counted(trees, name)
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    trees.run("enter", name, "--", "touch", "/stop")
    assert trees.run("wait", name).stdout == "5\n"
    assert trees.run("logs", name).stdout.endswith("kept\n")
    assert trees.run("launch", "-q", name, "--", "rm", "/stop", "/counted").returncode == 0


def test_it_goes_on_where_it_was(trees: Trees, counter: str) -> None:
    about = trees.run("enter", counter, "--", "sh", "-c", ABOUT).stdout
    done = trees.run("checkpoint", counter)
    assert (done.returncode, done.stderr) == (0, "")
    assert not running(trees) and frozen(trees, counter).is_dir()

    for words in (("launch", "-q", counter, "--", "true"), ("mount", counter), ("seal", counter)):
        refused = trees.run(*words)
        assert refused.returncode in (1, 125) and "is frozen to disk" in refused.stderr, words
    odd = trees.run("launch", "--from-checkpoint", "--memory", "1G", counter)
    assert odd.returncode == 125 and "--from-checkpoint and --memory exclude each other" in odd.stderr

    done = trees.run("launch", "-q", "-d", "--from-checkpoint", counter)
    assert done.stdout == f"{counter}\n", done.stderr
    assert not frozen(trees, counter).exists()
    assert trees.run("enter", counter, "--", "sh", "-c", ABOUT).stdout == about
    assert trees.run("checkpoint", counter).returncode == 0  # and once more
    assert trees.run("launch", "-q", "-d", "--from-checkpoint", counter).returncode == 0
    goes_on(trees, counter)
    assert "nothing of" in trees.run("launch", "--from-checkpoint", counter).stderr


def test_what_was_changed_is_refused(trees: Trees, counter: str) -> None:
    assert trees.run("checkpoint", counter).returncode == 0
    image = frozen(trees, counter) / "core-1.img"
    whole = image.read_bytes()
    image.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    for _ in range(2):
        done = trees.run("launch", "-q", "--from-checkpoint", counter)
        assert done.returncode == 125 and "its files are not those that were written" in done.stderr
        image.unlink(missing_ok=True)
    image.write_bytes(whole)
    assert trees.run("launch", "-q", "-d", "--from-checkpoint", counter).returncode == 0
    goes_on(trees, counter)


@pytest.mark.parametrize("at", ["script", "dump.log", "pages-1.img", "state.json"])
def test_killed_while_it_is_frozen(trees: Trees, counter: str, at: str) -> None:
    """It runs on, or all of it is there; never both."""
    making = frozen(trees, counter).with_name("checkpoint.new")
    process = trees.start("checkpoint", counter)
    wait_for(at, lambda: (making / at).exists() or process.poll() is not None)
    process.kill()
    process.communicate()
    wait_for("the end of it", lambda: not frozen(trees, counter).exists() or not running(trees))
    if frozen(trees, counter).exists():
        assert trees.run("launch", "-q", "-d", "--from-checkpoint", counter).returncode == 0
    goes_on(trees, counter)
    assert not making.exists()  # the last launch took it away


@pytest.mark.parametrize("at", ["script", "restore.log", "used"])
def test_killed_while_it_is_restored(trees: Trees, counter: str, at: str) -> None:
    assert trees.run("checkpoint", counter).returncode == 0
    making = frozen(trees, counter).with_name("checkpoint.new")
    process = trees.start("launch", "-q", "--from-checkpoint", counter)
    wait_for(at, lambda: (making / at).exists() or (at == "used" and not frozen(trees, counter).exists()))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert trees.run("prune").returncode == 0
    assert not running(trees)
    if frozen(trees, counter).exists():
        assert trees.run("launch", "-q", "-d", "--from-checkpoint", counter).returncode == 0
        goes_on(trees, counter)
    else:
        assert at == "used"  # it ran again, so it died with its supervisor


def test_what_cannot_be_frozen(trees: Trees, counter: str) -> None:
    with trees.start("enter", counter, "--", "sleep", "100") as inside:
        wait_for("it to be inside", lambda: b"sleep" in b"".join(_commands(trees, counter)))
        done = trees.run("checkpoint", counter)
        assert done.returncode == 1 and "somebody is inside" in done.stderr
        inside.terminate()
    for words, why in (((), "throw-away"), (("--memory", "64M"), "throw-away"), (("--boot",), "whole system")):
        tree = "base" if why == "throw-away" else trees.fresh()
        trees.run("launch", "-q", "-d", *words, "--name", "odd", tree, "--", "/bin/sh", "-c", "sleep 1000")
        done = trees.run("checkpoint", "odd")
        assert done.returncode == 1 and why in done.stderr
        trees.run("stop", "--signal", "KILL", "odd")


def _commands(trees: Trees, name: str) -> Iterator[bytes]:
    del trees, name
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            yield Path("/proc", pid, "cmdline").read_bytes()
        except OSError:
            continue
