"""What a container is, seen from inside, in every way to launch one, and that it is what the README says."""

import errno
import os
import platform
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import roots
from launching import Trees
from plain import Plain

from treesmith.sandbox import masks
from treesmith.sandbox.capabilities import NAMES
from treesmith.sandbox.sandbox import COMMAND

README = (Path(__file__).parent.parent.parent / "README.md").read_text()
DEVICES = {"null": "1,3", "zero": "1,5", "full": "1,7", "random": "1,8", "urandom": "1,9", "tty": "5,0"}
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
HIDDEN = {f"/proc/{name}" for name in masks._HIDDEN} | {f"/sys/{name}" for name in masks._HIDDEN_SYS}
READ_ONLY = {f"/proc/{name}" for name in masks._READ_ONLY}
BOUNDS = f"{sum(1 << number for number in COMMAND):016x}"
KEYCTL = 250 if platform.machine() == "x86_64" else 219
SERIAL = f"/probe {KEYCTL} 0 -3 0 serial"  # keyctl(2): KEYCTL_GET_KEYRING_ID, of the session

QUESTIONS = {
    "status": "grep -E '^(Uid|Gid|Groups|NoNewPrivs|Seccomp|Seccomp_filters|Cap...):' /proc/self/status",
    "first": "grep -E '^(Uid|Gid|NoNewPrivs|Seccomp|Seccomp_filters|Cap...):' /proc/1/status",
    "map": "cat /proc/self/uid_map /proc/self/gid_map",
    "namespaces": "; ".join(f"readlink /proc/self/ns/{name}" for name in NAMESPACES),
    "mounts": "cat /proc/self/mountinfo",
    "descriptors": "ls /proc/1/fd; ls /dev/fd/",
    "devices": "cd /dev; for n in *; do test -c $n && ! test -L $n && stat -c %n=%t,%T $n || echo $n; done",
    "opened": "head -c1 /dev/zero >/dev/null && head -c1 /dev/urandom >/dev/null && ! echo >/dev/full && echo yes",
    "hidden": "; ".join(f"cat {path} 2>/dev/null; ls -A {path} 2>/dev/null | grep -v ^/" for path in sorted(HIDDEN)),
    "written": "; ".join(f"touch {path}/x {path} 2>/dev/null && echo {path}" for path in sorted({"/sys", *READ_ONLY})),
    "keys": SERIAL,
}

# options, the user's id, capabilities, no_new_privs, and which namespaces are the host's
MODES: dict[str, tuple[tuple[str, ...], int, str, int, set[str]]] = {
    "root": ((), 0, BOUNDS, 0, set()),
    "without root": ((), 0, BOUNDS, 0, set()),
    "private-users=no": (("--private-users=no",), 0, BOUNDS, 0, {"user"}),
    "chroot": (("--isolation=chroot", "--user=me"), 1000, "0" * 16, 1, {"user", "net", "uts"}),
}


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A busybox with a program that makes any system call."""
    root = roots.busybox(tmp_path_factory.mktemp("probed") / "root")
    source = Path(__file__).parent / "probe.c"
    subprocess.run(["gcc", "-static", "-O", "-Wall", "-Werror", "-o", root / "probe", source], check=True)
    return root


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def ask(mode: str, probed: Path, request: pytest.FixtureRequest) -> Callable[..., str]:
    """`ask(script, *options)`: what it says inside."""
    words = (*MODES[mode][0], "probed")
    if mode == "without root":
        plain: Plain = request.getfixturevalue("plain_user")
        if "probed" not in plain.run("ls").stdout:
            plain.add("probed", probed)
        return lambda script, *more: plain.run("launch", "-q", *more, *words, "--", "sh", "-c", script).stdout
    trees: Trees = request.getfixturevalue("trees")
    if "probed" not in trees.run("ls").stdout:
        trees.add("probed", probed, sealed=True)
    return lambda script, *more: trees.sh(script, *more, *MODES[mode][0], tree="probed")


@pytest.fixture(scope="module")
def answers(ask: Callable[..., str]) -> dict[str, list[str]]:
    said = ask("\n".join(f"echo ==={name}\n({question})" for name, question in QUESTIONS.items()) + "\n:")
    parts = (part.split("\n") for part in said.split("===")[1:])
    return {name: [line for line in lines if line] for name, *lines in parts}


def test_ids_capabilities_and_filters(mode: str, answers: dict[str, list[str]]) -> None:
    _, user, bounds, no_new_privs, _ = MODES[mode]
    none = ["0" * 16]
    for process in ("status", "first"):
        found = {name: value.split() for name, value in (line.split(":") for line in answers[process])}
        assert found.pop("Groups", ["50"] * bool(user)) == ["50"] * bool(user)
        assert found == {
            "Uid": [str(user)] * 4, "Gid": [str(user)] * 4, "NoNewPrivs": [str(no_new_privs)], "Seccomp": ["2"],
            "Seccomp_filters": ["2"], "CapInh": none, "CapPrm": [bounds], "CapEff": [bounds], "CapBnd": [bounds],
            "CapAmb": none,
        }  # fmt: skip
    uids, gids = (line.split() for line in answers["map"])
    assert uids == gids
    if "user" in MODES[mode][4]:
        assert uids == ["0", "0", "4294967295"]
    else:
        assert (uids[0], uids[2]) == ("0", "65536") and (uids[1] == "0" or int(uids[1]) >= 524288)
        assert (uids[1] == "0") == (mode == "without root")


def test_namespaces(mode: str, answers: dict[str, list[str]]) -> None:
    inside = dict(zip(NAMESPACES, answers["namespaces"], strict=True))
    assert {name for name in NAMESPACES if inside[name] == os.readlink(f"/proc/self/ns/{name}")} == MODES[mode][4]


def test_descriptors(answers: dict[str, list[str]]) -> None:
    assert answers["descriptors"] == ["0", "1", "2", "0", "1", "2", "3"]  # the last is ls's own


def test_devices(answers: dict[str, list[str]]) -> None:
    links = {"fd", "stdin", "stdout", "stderr", "ptmx"}
    assert set(answers["devices"]) == {f"{name}={numbers}" for name, numbers in DEVICES.items()} | links | {
        "pts", "shm", "mqueue"
    }  # fmt: skip
    assert answers["opened"] == ["yes"]


def test_mounts(mode: str, answers: dict[str, list[str]]) -> None:
    lines = [line.split() for line in answers["mounts"]]
    flags = {line[4]: set(line[5].split(",")) for line in lines}
    usual = {"/proc", "/sys", "/sys/fs/cgroup", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"}
    usual |= {f"/dev/{name}" for name in DEVICES} | {"/", "/etc/hosts"}
    perhaps = {"/etc/localtime"}  # a host may have none
    if "net" in MODES[mode][4]:
        perhaps |= {"/etc/resolv.conf"}
    bare = {point for point in flags if point not in HIDDEN | READ_ONLY and point.startswith("/proc/")}
    assert len(flags) == len(lines) and usual <= set(flags) <= usual | perhaps | HIDDEN | READ_ONLY | bare
    assert bool(bare) == ("user" in MODES[mode][4])  # what of /proc is root's: test_private_users
    for point in (HIDDEN | READ_ONLY | bare | {"/sys", "/etc/hosts"}) & set(flags):
        assert "ro" in flags[point], point
    assert ("ro" in flags["/sys/fs/cgroup"]) == ("user" in MODES[mode][4])
    for point in ("/proc", "/sys", "/sys/fs/cgroup", "/dev/shm", "/dev/mqueue"):
        assert {"nosuid", "nodev"} <= flags[point], point
    assert "nodev" in flags["/"] and ("nosuid" in flags["/"]) == (mode == "chroot")
    assert {path for path in HIDDEN | READ_ONLY if os.path.exists(path)} <= set(flags)


def test_what_is_hidden_or_read_only(answers: dict[str, list[str]]) -> None:
    assert (answers["hidden"], answers["written"]) == ([], [])


def test_keyring(mode: str, probed: Path, ask: Callable[..., str], answers: dict[str, list[str]]) -> None:
    """No key can be asked for; without the filter a program would see a session keyring of its container's own."""
    assert answers["keys"] == [str(errno.ENOSYS)]
    if mode == "private-users=no":
        return  # there the filter cannot be left out
    first, second = (ask(SERIAL, "--seccomp=off").split()[0] for _ in range(2))
    assert int(first) > 1 << 16 and int(second) > 1 << 16 and first != second  # errnos are small
    outside = subprocess.check_output([probed / "probe", *SERIAL.split()[1:]], text=True).strip()
    assert outside not in (first, second)


def test_the_readme_names_it_all() -> None:
    assert documented("The capabilities of a command: ") == {NAMES[number] for number in COMMAND}
    told = {word.rstrip(":") for word in documented("Hidden: ") if word.startswith("/")}
    assert told == HIDDEN | READ_ONLY | {"/sys"}


def documented(beginning: str) -> set[str]:
    """The words behind a line of the README that begins so, up to the end of its paragraph."""
    text = README[README.index(beginning) + len(beginning) :].split("\n\n", 1)[0]
    return set(re.sub(r"[`.,;]", " ", text).split())


@pytest.mark.parametrize("who", ["recipe's", "flag's", "who enters"])
def test_not_root_where_the_recipe_names_a_user(trees: Trees, probed: Path, who: str) -> None:
    if "named" not in trees.run("ls").stdout:
        tree = trees.add("named", probed, sealed=True)
        trees.store.update(tree, launch={"user": "me"})
    ids = "id -u; id -g; id -G; grep ^CapEff /proc/self/status"
    if who == "flag's":
        assert trees.sh(ids, "--user=root", tree="named").split()[0] == "0"
        return
    if who == "recipe's":
        said = trees.sh(ids, tree="named")
    else:
        name = trees.run("launch", "-q", "-d", "named", "--", "sleep", "1000").stdout.strip()
        said = trees.run("enter", name, "--", "sh", "-c", ids).stdout
        trees.run("stop", "--timeout", "0", name)
    assert said.split() == ["1000", "1000", "1000", "50", "CapEff:", "0" * 16]


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
