"""What a launch may use at most, on the machine's own cgroups: here, and in the guest where all of them are cgroup2."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from launching import PATIENCE, Trees, wait_for

from treesmith.sandbox import cgroup, enforce

BOMB = "bomb() { bomb | bomb & }; bomb; >/run/lit; sleep 100"


def files(trees: Trees, name: str, file: str) -> list[Path]:
    """Those called `file` in the container's cgroups, whichever hierarchy they are in."""
    (record,) = json.loads(trees.run("ps", "--json").stdout)["containers"]
    assert record["name"] == name
    with open(f"/proc/{record['pid']}/cgroup") as rows:
        own = next(line[3:].strip() for line in rows if line.startswith("0::"))
    folders = [cgroup.base() + own, *enforce.joined(record["pid"])]
    return [Path(folder, file) for folder in folders if Path(folder, file).exists()]


def counted(path: Path, name: str) -> int:
    return int(dict(line.split() for line in path.read_text().splitlines())[name])


def test_a_memory_hog(trees: Trees) -> None:
    eat = "dd if=/dev/zero of=/dev/null bs=80M count=1 2>/dev/null; echo $?"
    assert trees.sh(eat) == "0\n"
    assert trees.sh(eat, "--memory", "32M") == "137\n"  # killed, and nobody else: the shell goes on
    assert trees.sh(eat, "--memory", "200M") == "0\n"


def test_a_memory_hog_harms_nobody_else(trees: Trees) -> None:
    eat = "dd if=/dev/zero of=/dev/null bs=80M count=1 2>/dev/null"
    trees.run(
        "launch", "-q", "-d", "--memory", "32M", "--name", "hog", "base", "--", "sh", "-c", f"while :; do {eat}; done"
    )
    (kills,) = (path for name in ("memory.events", "memory.oom_control") for path in files(trees, "hog", name))
    (most,) = (path for name in ("memory.peak", "memory.max_usage_in_bytes") for path in files(trees, "hog", name))
    wait_for("it to be killed again and again", lambda: counted(kills, "oom_kill") > 3)
    assert 16 << 20 < int(most.read_text()) <= 32 << 20
    assert trees.sh(f"{eat}; echo $?") == "0\n"
    trees.run("stop", "--timeout", "1", "hog")


def test_a_fork_bomb(trees: Trees) -> None:
    trees.run("launch", "-q", "-d", "--pids", "30", "--name", "bomb", "base", "--", "sh", "-c", BOMB)
    (current,) = files(trees, "bomb", "pids.current")
    (events,) = files(trees, "bomb", "pids.events")
    wait_for("the bomb to hit its limit", lambda: counted(events, "max"))
    assert all(int(current.read_text()) <= 30 for _ in range(200))
    (seen,) = json.loads(trees.run("ps", "--usage", "--json").stdout)["containers"]
    assert seen["processes"] <= 30
    assert trees.sh("(echo fine)") == "fine\n"
    trees.run("stop", "--timeout", "1", "bomb")
    assert not current.exists()


def test_processors(trees: Trees) -> None:
    assert trees.sh("nproc", "--cpuset", "0") == "1\n"
    last = os.cpu_count() - 1  # type: ignore[operator]
    assert trees.sh("grep Cpus_allowed_list /proc/self/status", "--cpuset", str(last)).split()[1] == str(last)


def test_processor_time(trees: Trees) -> None:
    spin = ("sh", "-c", "while :; do :; done")
    trees.run("launch", "-q", "-d", "--cpus", "0.1", "--name", "spin", "base", "--", *spin)
    (stat,) = (path for path in files(trees, "spin", "cpu.stat") if "nr_throttled" in path.read_text())
    wait_for("it to be throttled", lambda: counted(stat, "nr_throttled") > 3)
    trees.run("stop", "--timeout", "1", "spin")


def test_a_share_of_the_disk(trees: Trees) -> None:
    done = trees.run("launch", "-q", "-d", "--io-weight", "40", "--name", "slow", "base", "--", "sleep", "100")
    if done.returncode:
        assert "--io-weight cannot be enforced" in done.stderr
        return
    names = ("io.weight", "io.bfq.weight", "blkio.weight", "blkio.bfq.weight")
    found = [path for name in names for path in files(trees, "slow", name)]
    assert any(path.read_text().split()[-1] == "40" for path in found)
    trees.run("stop", "--signal", "KILL", "slow")


def test_who_enters_is_limited_too(trees: Trees) -> None:
    trees.run("launch", "-q", "-d", "--memory", "32M", "--name", "small", "base", "--", "sleep", "100")
    eat = "dd if=/dev/zero of=/dev/null bs=80M count=1 2>/dev/null; echo $?"
    assert trees.run("enter", "small", "--", "sh", "-c", eat).stdout == "137\n"
    (seen,) = json.loads(trees.run("ps", "--usage", "--json").stdout)["containers"]
    assert 0 < seen["memory"] <= 32 << 20
    trees.run("stop", "--signal", "KILL", "small")


def test_the_tree_asks_for_limits(trees: Trees, tree: str) -> None:
    trees.store.update(trees.store.find(tree), launch={"memory": "32M", "pids": 12, "cpus": 1.5})
    eat = "dd if=/dev/zero of=/dev/null bs=80M count=1 2>/dev/null; echo $?"
    assert trees.sh(eat, tree=tree) == "137\n"
    assert trees.sh(eat, "--memory", "200M", tree=tree) == "0\n"


def test_a_boot_within_limits(trees: Trees) -> None:
    script = "dd if=/dev/zero of=/dev/null bs=80M count=1 2>/dev/null; test $? = 137 && poweroff -f; exit 5"
    done = trees.run("launch", "-q", "--boot", "--memory", "32M", "base", "--", "/bin/sh", "-c", script)
    assert done.returncode == 0


@pytest.mark.parametrize("flag", ["--memory=32M", "--pids=10", "--cpus=1", "--cpuset=0", "--io-weight=50"])
def test_refused_where_it_cannot_be_kept(trees: Trees, flag: str) -> None:
    script = 'mount -t tmpfs none /sys/fs/cgroup && "$@"'
    done = trees.apart(script, "launch", "-q", flag, "base", "--", "true")
    assert done.returncode == 125 and f"{flag.partition('=')[0]} cannot be enforced" in done.stderr


def test_processors_that_are_not_there(trees: Trees) -> None:
    done = trees.run("launch", "-q", "--cpuset", "0,4095", "base", "--", "true")
    assert done.returncode == 125 and "--cpuset cannot be enforced" in done.stderr


def test_a_killed_supervisor_leaves_no_limits(trees: Trees) -> None:
    argv = (
        "launch",
        "-q",
        "--memory",
        "32M",
        "--pids",
        "9",
        "--name",
        "dead",
        "base",
        "--",
        "sh",
        "-c",
        "echo up; sleep 99",
    )
    with trees.start(*argv) as process:
        assert process.stdout and process.stdout.readline() == b"up\n"
        left = [path.parent for path in files(trees, "dead", "cgroup.procs")]
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
    assert trees.sh("echo fine") == "fine\n"
    end = time.monotonic() + PATIENCE
    while any(path.exists() for path in left):
        assert time.monotonic() < end, left
        trees.sh("true")
    trees.store.recover()
