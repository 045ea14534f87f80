"""SIGKILL to a supervisor at any moment, and to the container's first process while it is made: nothing lives on, and
the next launch clears what is left."""

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import leaks
import pytest
from killing import lives
from launching import PATIENCE, Trees, wait_for

SUPERVISORS = (  # its own system calls at which something was just made, or is about to be
    "flock", "mkdir", "mkdirat", "rename", "unlink", "unlinkat", "rmdir", "chown", "fchown", "write", "pwrite64",
    "clone3", "open_tree", "mount_setattr", "sendto", "sendmsg", "recvmsg", "recvfrom", "pidfd_open", "memfd_create",
    "sendfile", "wait4", "pidfd_send_signal", "rt_sigprocmask", "poll", "close",
)  # fmt: skip
CHILDS = (
    "setgroups", "setresuid", "fsopen", "fsmount", "move_mount", "open_tree", "pivot_root", "umount2", "setsid",
    "prctl", "sendmsg", "execve", "close_range",
)  # fmt: skip


def assert_dead_and_cleared(trees: Trees, tree: str, before: set[str]) -> None:
    """At once: no process. After one more launch: no cgroup, id range, record or throw-away copy either."""
    wait_for("the end of everything inside", lambda: not lives())
    assert trees.sh("cat /kept", tree=tree) == "kept\n"
    assert trees.sh("echo fine") == "fine\n"
    trees.store.recover()
    assert not os.listdir(f"{trees.store.path}/staging")
    assert not leaks.since(before)


def test_at_random_moments(trees: Trees, tree: str) -> None:
    trees.sh("echo kept > /kept", tree=tree)
    before = leaks.state()
    chance = random.Random(1)
    for number in range(80):
        name = tree if number % 2 else "base"
        process = trees.start("launch", "-q", name, "--", "sh", "-c", "sleep 1000 & sleep 1000")
        time.sleep(chance.uniform(0.02, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        if number % 8 == 7:
            assert_dead_and_cleared(trees, tree, before)
        else:
            wait_for("the end of everything inside", lambda: not lives())


def test_the_next_owner_of_the_tree_waits_for_the_dead(trees: Trees, tree: str) -> None:
    """A snapshot at once after the kill: nobody writes to what it shares any more."""
    before = leaks.state()
    for number in range(15):
        script = "echo x >> /file; echo up; while :; do echo x >> /file; done"
        process = trees.start("launch", "-q", tree, "--", "sh", "-c", script)
        assert process.stdout and process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGKILL)
        done = trees.run("snapshot", tree, f"{tree}-{number}")
        assert not done.returncode, done.stderr
        assert not lives()
        process.communicate()
        first = trees.sh("wc -c < /file", tree=f"{tree}-{number}")
        assert trees.sh("wc -c < /file", tree=tree) == first
        trees.store.remove([trees.store.find(f"{tree}-{number}")])
    assert trees.sh("echo fine") == "fine\n"
    trees.store.recover()
    assert not leaks.since(before)


def strace(trees: Trees, tmp_path: Path, inject: str, follow: bool, *words: str) -> tuple[int, str, bool]:
    """(exit status, stderr, whether somebody was killed) of a launch in which a system call kills its caller."""
    trace, call = tmp_path / "trace", inject.partition(":")[0]
    options = f"-o {trace} -e trace={call} -e inject={inject}".split() + ["-f"] * follow
    done = subprocess.run(
        ["strace", *options, *trees.argv("launch", "-q", *words)], env=trees.environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=PATIENCE * 2,
    )  # fmt: skip
    return done.returncode, done.stderr, "+++ killed by SIGKILL" in trace.read_text()


@pytest.mark.slow
def test_at_each_system_call_of_the_supervisor(
    trees: Trees, tree: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trees.sh("echo kept > /kept", tree=tree)
    before = leaks.state()
    points = 0
    for call in SUPERVISORS:
        for name in (tree, "base"):
            first = count(trees, tmp_path, call, name)
            step = max(1, first // 12)  # calls that the interpreter makes by the hundred are sampled
            for when in range(1, first + 1, step):
                status, _, hit = strace(trees, tmp_path, f"{call}:signal=KILL:when={when}", False, name, "--", "true")
                points += hit
                wait_for("the end of everything inside", lambda: not lives())
                assert not hit or status in (-signal.SIGKILL, 137), (call, when, status)
        assert_dead_and_cleared(trees, tree, before)
    with capsys.disabled():
        print(f" {points} points", end="")
    assert points > 100


def count(trees: Trees, tmp_path: Path, call: str, name: str) -> int:
    """How often the supervisor makes this call."""
    trace = tmp_path / "trace"
    argv = ["strace", "-o", str(trace), "-e", f"trace={call}", *trees.argv("launch", "-q", name, "--", "true")]
    subprocess.run(argv, env=trees.environment, stdin=subprocess.DEVNULL, check=True, capture_output=True)
    return len(re.findall(rf"^{call}\(", trace.read_text(), re.MULTILINE))


@pytest.mark.slow
def test_at_each_system_call_of_the_first_process(
    trees: Trees, tree: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It dies while it makes its root: an error with status 125, and everything is cleaned up at once."""
    trees.sh("echo kept > /kept", tree=tree)
    before = leaks.state()
    points = 0
    for call in CHILDS:
        for when in (1, 2, 3, 5, 8, 13, 21):
            status, said, _ = strace(trees, tmp_path, f"{call}:signal=KILL:when={when}", True, tree, "--", "true")
            if status == 0:
                break
            if status in (-signal.SIGKILL, 137) and "died" not in said:
                continue  # it was the supervisor's own call, or the command's
            assert status == 125 and "its first process died" in said, (call, when, status, said)
            assert not leaks.since(before)
            points += 1
        assert_dead_and_cleared(trees, tree, before)
    with capsys.disabled():
        print(f" {points} points", end="")
    assert points > 15
