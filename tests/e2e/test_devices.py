"""Devices: a tree may bring nodes of any, and who may mount inside may make its mounts anything but nodev."""

import os
import stat
from pathlib import Path

import pytest
import roots
from launching import Trees

NODES = {"kmsg": (1, 11), "mem": (1, 1), "fuse": (10, 229), "zero": (1, 5)}
SCRIPT = "mount -o remount,bind,dev / && for n in zero kmsg mem fuse disk; do (: < /$n) 2>/dev/null && echo $n; done; :"


@pytest.fixture(scope="module")
def nodes(trees: Trees, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = roots.busybox(tmp_path_factory.mktemp("nodes") / "root")
    for name, numbers in NODES.items():
        os.mknod(root / name, 0o666 | stat.S_IFCHR, os.makedev(*numbers))
    disk = os.stat("/").st_dev
    os.mknod(root / "disk", 0o666 | stat.S_IFBLK, disk)
    trees.add("nodes", root)
    return "nodes"


def test_only_the_harmless_ones_can_be_opened(trees: Trees, nodes: str) -> None:
    assert trees.sh(SCRIPT, "--cap-add", "SYS_ADMIN", tree=nodes) == "zero\n"


def test_who_enters_can_open_no_more(trees: Trees, nodes: str) -> None:
    words = ("launch", "-q", "-d", "--cap-add", "SYS_ADMIN", nodes, "--", "sleep", "1000")
    name = trees.run(*words).stdout.strip()
    done = trees.run("enter", name, "--", "sh", "-c", SCRIPT)
    trees.run("stop", "--timeout", "0", name)
    assert done.stdout == "zero\n"


def test_without_cgroups_who_could_undo_it_is_refused(trees: Trees, nodes: str) -> None:
    hidden = 'for d in /sys/fs/cgroup/unified /sys/fs/cgroup; do mount -t tmpfs none $d 2>/dev/null; done; exec "$@"'
    done = trees.apart(hidden, "launch", "-q", nodes, "--cap-add", "SYS_ADMIN", "--", "true")
    assert done.returncode == 125 and "devices cannot be kept" in done.stderr
    assert trees.apart(hidden, "launch", "-q", nodes, "--", "true").returncode == 0


def test_its_own_devices_work(trees: Trees) -> None:
    script = "for n in null zero full random urandom; do : < /dev/$n || echo $n; done; mkdir /d; cd /d; : > /dev/null"
    assert trees.sh(script) == ""


def test_the_host_opens_what_it_could(trees: Trees) -> None:
    trees.sh("true")
    with Path("/dev/kmsg").open("rb"):
        pass
