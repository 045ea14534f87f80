"""SIGKILL to a plain user's launch at any moment: nothing lives on, and the next one clears what is left."""

import random
import re
import signal
import subprocess
import time
from pathlib import Path

import leaks
import pytest
from killing import Victim
from launching import PATIENCE, wait_for
from plain import Plain

# At which something was just made, or is about to be; the first four on the way into the user namespace. ?: not every
# machine has each of them.
CALLS = (
    "unshare", "setns", "setresuid", "flock", "?mkdir,?mkdirat", "pwrite64", "clone3", "open_tree", "sendto",
    "recvfrom", "pidfd_open", "wait4", "?rmdir,?unlink,?unlinkat",
)  # fmt: skip
WORDS = ("launch", "-q", "base", "--")
KINDS = {
    "private network": (("--network=private", "--port=8099:80"), ("true",)),
    "boot with binds": (
        ("--boot", "--bind=/usr:/data/deep:ro,noidmap", "--tmpfs=/scratch"), ("/bin/sh", "-c", "poweroff -f"),
    ),
}  # fmt: skip
OTHERS = ("clone3", "clone", "fork", "pwrite64", "open_tree", "sendto", "recvfrom", "wait4", "rmdir")


def assert_cleared(me: Plain, before: set[str]) -> None:
    wait_for("the end of everything inside", lambda: not leaks.since(before, 0))
    assert me.run(*WORDS, "echo", "fine").stdout == "fine\n"
    me.run("prune", "-q")
    assert me.records() == set()
    assert me.run("check", "-q").returncode == 0


def test_at_random_moments(me: Plain) -> None:
    before = leaks.state()
    chance = random.Random(1)
    for number in range(24):
        argv = me.argv(*WORDS, "sh", "-c", "sleep 1000 & sleep 1000")
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(chance.uniform(0.01, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        if number % 6 == 5:
            assert_cleared(me, before)


def traced(me: Plain, trace: Path, *options: str) -> int:
    argv = ["strace", "-o", str(trace), *options, *me.argv(*WORDS, "true")]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode


@pytest.mark.parametrize("call", CALLS)
def test_at_each_system_call(me: Plain, tmp_path: Path, call: str) -> None:
    before, trace = leaks.state(), tmp_path / "trace"
    assert traced(me, trace, "-e", f"trace={call}") == 0
    count = len(re.findall(r"^\w+\(", trace.read_text(), re.MULTILINE))
    hits = 0
    for when in range(1, count + 1, max(1, count // 4)):
        status = traced(me, trace, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={when}")
        assert status in (-signal.SIGKILL, 137, 0), (when, status)  # 0: there were fewer, with nothing left to clear
        hits += status != 0
    assert hits
    assert_cleared(me, before)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_launches_of_other_kinds(me: Plain, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On a writable tree, whose inside is the same afterwards."""
    options, command = KINDS[kind]
    me.run("snapshot", "-q", "base", "writable")
    me.run("launch", "-q", *options, "writable", "--", *command)
    before, there = leaks.state(), listed(me)
    victim = Victim(me.argv("launch", "-q", *options, "writable", "--", *command), None, tmp_path / "trace")
    points = 0
    for call, when in victim.moments(2, OTHERS):
        points += victim.kill(call, when)
        wait_for("the end of everything inside", lambda: not leaks.since(before, 0))
        assert me.run(*WORDS, "echo", "fine").stdout == "fine\n"
        assert (me.records(), listed(me)) == (set(), there), (call, when)
    me.run("rm", "-q", "writable")
    assert_cleared(me, before)
    with capsys.disabled():
        print(f" {points} points", end="")
    assert points > 10


def listed(me: Plain) -> str:
    return me.run("launch", "-q", "writable", "--", "find", "/", "-xdev").stdout
