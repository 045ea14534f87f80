"""launch --detach, and what is kept of it: logs, the status for whoever waits later, what prune removes."""

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest
from launching import PATIENCE, Trees, wait_for

from treesmith.launch import containers


@pytest.fixture(autouse=True)
def nothing_runs_on(trees: Trees, no_leaks: None) -> Iterator[None]:
    """Nor after a failed test."""
    yield
    for one in containers.running(trees.store.path):
        trees.run("stop", one["name"], "--timeout", "0")


def detached(trees: Trees, script: str, *options: str, tree: str = "base") -> str:
    """The name of a container that runs in the background."""
    done = trees.run("launch", "-q", "-d", tree, *options, "--", "sh", "-c", script)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.strip()


def waited(trees: Trees, name: str) -> int:
    done = trees.run("wait", name)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def supervisor(trees: Trees, name: str) -> int:
    """Who holds the container's record open: the parent of its first process."""
    (record,) = [one for one in containers.running(trees.store.path) if one["name"] == name]
    return int(Path(f"/proc/{record['pid']}/stat").read_text().rpartition(")")[2].split()[1])


def test_it_runs_on_and_its_status_is_known_later(trees: Trees, tree: str) -> None:
    name = detached(trees, "trap 'echo done; exit 7' TERM; echo up; while :; do sleep 0.01; done", tree=tree)
    assert name == tree
    busy = trees.run("launch", tree, "--", "true")
    assert busy.returncode == 125 and "in use" in busy.stderr
    assert [one["name"] for one in containers.running(trees.store.path)] == [tree]
    waiting = trees.start("wait", name)
    wait_for("its begin", lambda: trees.run("logs", name).stdout == "up\n")
    assert trees.run("stop", name).returncode == 0
    assert waiting.communicate(timeout=PATIENCE)[0] == b"7\n"
    assert waited(trees, name) == 7
    assert trees.run("logs", name).stdout == "up\ndone\n"


def test_a_sealed_tree_names_itself(trees: Trees) -> None:
    names = [detached(trees, "sleep 1000") for _ in range(3)]
    assert len(set(names)) == 3 and all(name.startswith("base~") for name in names)
    for name in names:
        assert trees.run("stop", name).returncode == 0
        assert waited(trees, name) == 143
    assert not os.listdir(f"{trees.store.path}/staging")


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [("nothere", 127, "nothere: not found"), ("/etc", 126, "it is a folder"), ("/etc/passwd", 126, "not executable")],
)
def test_what_cannot_be_run_is_still_the_callers_error(trees: Trees, command: str, status: int, said: str) -> None:
    done = trees.run("launch", "-q", "-d", "base", "--", command)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert not os.listdir(f"{trees.store.path}/staging")
    assert not containers.running(trees.store.path)


def test_failures_of_our_own(trees: Trees, tree: str) -> None:
    assert trees.run("launch", "-d", "base", "--bind", "/nosuchpath:/x", "--", "true").returncode == 125
    done = trees.run("launch", "-d", "--tty", "base", "--", "true")
    assert done.returncode == 125 and "exclude each other" in done.stderr
    detached(trees, "sleep 1000", "--name", "mine")
    again = trees.run("launch", "-d", "base", "--name", "mine", "--", "true")
    assert again.returncode == 125 and "is called mine already" in again.stderr
    assert trees.run("stop", "mine").returncode == 0
    assert trees.run("logs", "mine").returncode == 0


def test_nothing_of_the_caller_is_held(trees: Trees) -> None:
    """Whoever reads the caller's output, or waits for a pipe that it had open, sees its end."""
    reader, writer = os.pipe()
    words = trees.argv("launch", "-q", "-d", "base", "--", "sleep", "1000")
    done = subprocess.run(words, env=trees.environment, capture_output=True, text=True, check=True, pass_fds=[writer])
    os.close(writer)
    assert os.read(reader, 1) == b""
    os.close(reader)
    name = done.stdout.strip()
    pid = supervisor(trees, name)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.getsid(pid) == pid
    assert trees.run("stop", name).returncode == 0


def test_it_outlives_its_caller(trees: Trees) -> None:
    """Killed at any moment, the caller leaves a container that runs, or nothing."""
    before = leaks.state()
    survived = 0
    for number in range(25):
        name = f"early{number}"
        process = trees.start("launch", "-q", "-d", "base", "--name", name, "--", "sleep", "1000")
        time.sleep(0.02 + 0.006 * number)
        process.kill()
        process.communicate()
        wait_for("a decision", lambda name=name: settled(trees, name))
        if containers.running(trees.store.path):
            survived += not trees.run("stop", name).returncode  # 1: the supervisor had just seen that nobody waits
        wait_for("the end", lambda: not containers.running(trees.store.path))
    assert 0 < survived < 25
    trees.sh("true")
    trees.store.recover()
    assert not leaks.since(before)


def settled(trees: Trees, name: str) -> bool:
    """It runs under its supervisor, or nobody who could start it is there any more."""
    mine = [one for one in Path("/proc").glob("[0-9]*/cmdline") if name.encode() in reading(one).split(b"\0")]
    found = containers.running(trees.store.path)
    return not mine if not found else bool(found[0]["pid"])


def reading(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_thirty_megabytes_to_the_log(trees: Trees, tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 30
    (tmp_path / "data").write_bytes(data)
    os.chmod(tmp_path / "data", 0o644)
    name = detached(trees, "cat /data", "--bind", f"{tmp_path}/data:/data:ro")
    follower = subprocess.run(trees.argv("logs", "-f", name), env=trees.environment, capture_output=True, check=True)
    assert hashlib.sha256(follower.stdout).digest() == hashlib.sha256(data).digest()
    done = subprocess.run(trees.argv("logs", name), env=trees.environment, capture_output=True, check=True)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
    assert waited(trees, name) == 0


def test_following(trees: Trees) -> None:
    name = detached(trees, "trap 'echo last; exit 3' TERM; echo first; echo second >&2; while :; do sleep 0.01; done")
    follower = trees.start("logs", "-f", name)
    assert follower.stdout
    assert {follower.stdout.readline(), follower.stdout.readline()} == {b"first\n", b"second\n"}
    assert follower.poll() is None
    assert trees.run("stop", name).returncode == 0
    assert follower.communicate(timeout=PATIENCE)[0] == b"last\n"
    assert follower.returncode == 0


def test_stdin_is_at_its_end(trees: Trees) -> None:
    name = detached(trees, "cat; echo over; test -t 1 || echo no terminal")
    waited(trees, name)
    assert trees.run("logs", name).stdout == "over\nno terminal\n"


def test_a_new_container_of_the_tree_has_a_new_log(trees: Trees, tree: str) -> None:
    for word in ("one", "two"):
        waited(trees, detached(trees, f"echo {word}", tree=tree))
        assert trees.run("logs", tree).stdout == f"{word}\n"


def test_a_container_in_the_foreground_has_no_log(trees: Trees) -> None:
    with trees.start("launch", "-q", "base", "--name", "front", "--", "sh", "-c", "echo up; sleep 1000") as process:
        assert process.stdout and process.stdout.readline() == b"up\n"
        done = trees.run("logs", "front")
        assert done.returncode == 1 and "launch --detach" in done.stderr
        process.terminate()
        process.communicate()
    assert "no container front is known" in trees.run("logs", "front").stderr


def test_a_killed_supervisor(trees: Trees, tree: str) -> None:
    before = leaks.state()
    name = detached(trees, "echo here; trap '' TERM; sleep 1000 & sleep 1000", tree=tree)
    wait_for("output", lambda: trees.run("logs", name).stdout == "here\n")
    follower = trees.start("logs", "-f", name)
    os.kill(supervisor(trees, name), signal.SIGKILL)
    assert follower.communicate(timeout=PATIENCE)[0] == b"here\n"
    assert not containers.running(trees.store.path)
    done = trees.run("wait", name)
    assert done.returncode == 1 and "its supervisor was killed" in done.stderr
    assert trees.run("logs", name).stdout == "here\n"
    assert trees.sh("echo free", tree=tree) == "free\n"
    assert not leaks.since(before)


def test_a_signal_to_the_supervisor_goes_to_the_command(trees: Trees) -> None:
    name = detached(trees, "trap 'exit 6' TERM; echo up; while :; do sleep 0.01; done")
    wait_for("output", lambda: trees.run("logs", name).stdout == "up\n")
    os.kill(supervisor(trees, name), signal.SIGTERM)
    assert waited(trees, name) == 6


def test_prune_removes_the_logs_of_what_has_ended(trees: Trees) -> None:
    ended, lives = detached(trees, "echo x"), detached(trees, "echo y; sleep 1000")
    assert waited(trees, ended) == 0
    plan = trees.run("prune", "--dry-run").stdout
    assert ended in plan and "the log of a container that has ended" in plan and lives not in plan
    assert trees.run("logs", ended).stdout == "x\n"
    assert ended in trees.run("prune").stdout
    assert trees.run("logs", ended).returncode == 1
    assert trees.run("logs", lives).stdout == "y\n"
    assert trees.run("stop", lives).returncode == 0
    assert trees.run("-q", "prune").returncode == 0
    assert not os.listdir(f"{trees.store.path}/cache/containers")
