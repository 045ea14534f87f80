"""What a container is, seen from inside, and that it is what the README says."""

import os
import re
from pathlib import Path

from launching import Trees

from treesmith.sandbox import masks
from treesmith.sandbox.capabilities import NAMES
from treesmith.sandbox.sandbox import COMMAND

README = (Path(__file__).parent.parent.parent / "README.md").read_text()
DEVICES = {"null": "1,3", "zero": "1,5", "full": "1,7", "random": "1,8", "urandom": "1,9", "tty": "5,0"}


def documented(beginning: str) -> set[str]:
    """The words behind a line of the README that begins so, up to the end of its paragraph."""
    text = README[README.index(beginning) + len(beginning) :].split("\n\n", 1)[0]
    return set(re.sub(r"[`.,;]", " ", text).split())


def test_status(trees: Trees) -> None:
    asked = "Uid|Gid|Groups|NoNewPrivs|Seccomp|Seccomp_filters|CapInh|CapPrm|CapEff|CapBnd|CapAmb"
    lines = trees.sh(f"grep -E '^({asked}):' /proc/self/status").splitlines()
    found = {name: value.split() for name, value in (line.split(":") for line in lines)}
    bounds = f"{sum(1 << number for number in COMMAND):016x}"
    assert found == {
        "Uid": ["0"] * 4, "Gid": ["0"] * 4, "Groups": [], "NoNewPrivs": ["0"], "Seccomp": ["2"],
        "Seccomp_filters": ["2"], "CapInh": ["0" * 16], "CapPrm": [bounds], "CapEff": [bounds], "CapBnd": [bounds],
        "CapAmb": ["0" * 16],
    }  # fmt: skip
    assert documented("The capabilities of a command: ") == {NAMES[number] for number in COMMAND}


def test_devices(trees: Trees) -> None:
    said = trees.sh("cd /dev; for n in *; do test -c $n && stat -c %n=%t,%T $n || echo $n; done").split()
    others = {"fd", "stdin", "stdout", "stderr", "ptmx", "pts", "shm", "mqueue"}
    links = {name for name in said if name.startswith("ptmx")}
    assert set(said) - links == {f"{name}={numbers}" for name, numbers in DEVICES.items()} | others - {"ptmx"}
    assert len(links) == 1


def test_mounts(trees: Trees) -> None:
    lines = [line.split() for line in trees.sh("cat /proc/self/mountinfo").splitlines()]
    flags = {line[4]: set(line[5].split(",")) for line in lines}
    usual = {"/proc", "/sys", "/sys/fs/cgroup", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"}
    usual |= {f"/dev/{name}" for name in DEVICES} | {"/", "/etc/hosts", "/etc/localtime"}
    hidden = {f"/proc/{name}" for name in masks._HIDDEN} | {f"/sys/{name}" for name in masks._HIDDEN_SYS}
    shown = {f"/proc/{name}" for name in masks._READ_ONLY}
    assert usual - {"/etc/localtime"} <= set(flags) <= usual | hidden | shown  # a host may have none
    for point, words in flags.items():
        assert point not in hidden | shown | {"/sys", "/etc/hosts"} or "ro" in words, point
    for point in ("/proc", "/sys", "/sys/fs/cgroup", "/dev/shm", "/dev/mqueue"):
        assert {"nosuid", "nodev"} <= flags[point], point
    there = {path for path in hidden | shown if os.path.exists(path)}
    assert there <= set(flags)


def test_the_readme_names_every_path() -> None:
    told = {word.rstrip(":") for word in documented("Hidden: ") if word.startswith("/")}
    hidden = {f"/proc/{name}" for name in masks._HIDDEN} | {f"/sys/{name}" for name in masks._HIDDEN_SYS}
    assert told == hidden | {f"/proc/{name}" for name in masks._READ_ONLY} | {"/sys"}


def test_a_thousand_orphans_leave_no_zombie(trees: Trees) -> None:
    script = """
        i=0; while [ $i -lt 1000 ]; do (sh -c : &); i=$((i + 1)); done
        for again in 1 2 3 4 5 6 7 8 9 10; do
            set -- $(cat /proc/[0-9]*/stat 2>/dev/null | awk '{ print $3 }' | sort | uniq -c | grep -c Z)
            test $1 = 0 && break; sleep 0.5
        done
        echo $1 zombies; ls -d /proc/[0-9]* | wc -l
    """
    zombies, _, left = trees.sh(script).split()
    assert zombies == "0" and int(left) < 10
