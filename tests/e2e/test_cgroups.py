"""Hosts whose cgroups are other than this one's: what a mount namespace of the test's own can show."""

import signal
import subprocess
from pathlib import Path

import pytest
from ground import cgroups
from launching import PATIENCE, Trees, wait_for

from treesmith import ids
from treesmith.sandbox import leftovers

NONE = "mount -t tmpfs none /sys/fs/cgroup && "
READ_ONLY = "for m in /sys/fs/cgroup /sys/fs/cgroup/unified; do mount -o remount,ro,bind $m 2>/dev/null; done; "
PURE = "mount -t cgroup2 none /sys/fs/cgroup && "


@pytest.mark.parametrize("host", [NONE, READ_ONLY, PURE])
def test_it_runs(trees: Trees, host: str) -> None:
    script = "grep ^0: /proc/self/cgroup; exit 3"
    done = trees.apart(host + '"$@"', "launch", "-q", "base", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (3, "0::/\n", "")


def killed(trees: Trees, host: str) -> Path:
    """A launch on such a host, running, and its supervisor killed. Returns what holds its ids."""
    launch = trees.argv("launch", "-q", "base", "--", "sh", "-c", "echo up; sleep 1000")
    argv = ["unshare", "-m", "sh", "-c", f'{host} exec "$@"', "sh", *launch]
    with subprocess.Popen(argv, env=trees.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"up\n"
        child = subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True).strip()
        held = Path(ids.folder(), str(Path(f"/proc/{child}").stat().st_uid // ids.COUNT))
        assert held.exists()
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
    return held


def left(slot: str) -> list[Path]:
    return [path for path in cgroups(Path("/sys/fs/cgroup")) if path.name == f"treesmith-{slot}"]


@pytest.mark.parametrize("host", [NONE, PURE, ""])
def test_a_killed_one_is_cleared_from_elsewhere(trees: Trees, host: str) -> None:
    """Made where the cgroups look one way, cleared where they look another."""
    held = killed(trees, host)
    wait_for("its cgroup and ids", lambda: leftovers.clear() >= 0 and not held.exists())
    assert not left(held.name)
    assert trees.sh("echo fine") == "fine\n"
    trees.store.recover()


def test_a_dead_one_whose_cgroup_is_out_of_sight_is_left_to_others(trees: Trees) -> None:
    held = killed(trees, "")
    slot = held.name
    script = f'{NONE} "$@"; test -e {held} || test ! -e /proc/1/root/sys/fs/cgroup/unified/treesmith-{slot}'
    done = trees.apart(script, "launch", "-q", "base", "--", "true")
    assert done.returncode == 0
    leftovers.clear()
    assert not left(slot)
    trees.store.recover()
