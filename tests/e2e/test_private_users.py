"""`--private-users no`: root inside is the host's root, and everything but its ids holds as it does otherwise."""

import os
import re
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from launching import Trees
from plain import Plain

from treesmith.sandbox.sandbox import COMMAND

NO = "--private-users=no"
BOUNDS = f"{sum(1 << number for number in COMMAND):016x}"


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_all_but_the_ids_is_the_same(trees: Trees, answer: str) -> None:
    script = """
        cat /proc/self/uid_map
        grep -E '^([UG]id|Groups|Cap|NoNewPrivs|Seccomp)' /proc/self/status
        for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done
        ls /dev /proc/1/fd
        hostname
    """
    said = trees.sh(script, f"--private-users={answer}").splitlines()
    own = {os.readlink(f"/proc/self/ns/{name}") for name in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")}
    shared = {os.readlink("/proc/self/ns/user")} if answer == "no" else set()
    assert set(said) & own == shared
    assert said[0].split()[1:] == ["0", "4294967295"] or answer == "yes"
    found = {name: value.split() for name, value in (line.split(":", 1) for line in said if ":\t" in line)}
    nothing = ["0" * 16]
    assert found == {
        "Uid": ["0"] * 4, "Gid": ["0"] * 4, "Groups": [], "NoNewPrivs": ["0"], "Seccomp": ["2"],
        "Seccomp_filters": ["2"], "CapInh": nothing, "CapPrm": [BOUNDS], "CapEff": [BOUNDS], "CapBnd": [BOUNDS],
        "CapAmb": nothing,
    }  # fmt: skip


def test_it_is_said(trees: Trees) -> None:
    assert "root inside is this machine's root" in trees.run("launch", "base", NO, "--", "true").stderr
    assert not trees.run("launch", "-q", "base", NO, "--", "true").stderr


REFUSED = (
    "mount -t tmpfs none /tmp", "umount /proc/keys", "mount -o remount,rw /proc/sys", "hostname x", "swapoff -a",
    "chroot /etc umount /proc", "mknod /x b 8 0", "echo 1 > /proc/sys/vm/drop_caches", "unshare -U true",
    "echo x > /proc/sysrq-trigger", "echo 1 > /sys/kernel/mm/ksm/run", "dmesg", "adjtimex -f 0", "date -s 1970",
    "unshare -m true", "nsenter -t 1 -m true", "reboot -f", "renice -20 $$", "echo $$ >/sys/fs/cgroup/cgroup.procs",
    "echo max >/sys/fs/cgroup/cgroup.max.depth", "mkdir /sys/fs/cgroup/x", "ip link set lo down", "grep . /proc/kmsg",
    "head -c1 /proc/kpageflags | grep .", "grep . /proc/slabinfo", "echo x >/proc/pressure/cpu", "cat /kmsg",
    "cat /disk", "echo disable=0 >/proc/mtrr",
)  # fmt: skip


def test_what_the_hosts_root_may_not(trees: Trees, devices: str) -> None:
    script = "\n".join(f"({words}) >/dev/null 2>&1 && echo '{words}'" for words in REFUSED)
    assert trees.sh(f"{script}\n:", NO, tree=devices) == ""
    assert trees.sh("(true) && echo done; (false) && echo not; :", NO, tree=devices) == "done\n"


@pytest.fixture(scope="module")
def devices(trees: Trees, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tree with nodes of the kernel's log and of a disk."""
    root = tmp_path_factory.mktemp("devices")
    subprocess.run(["cp", "-a", f"{Path(trees.store.path).parent}/busybox/.", root], check=True)
    os.mknod(root / "kmsg", 0o666 | stat.S_IFCHR, os.makedev(1, 11))
    os.mknod(root / "disk", 0o666 | stat.S_IFBLK, os.makedev(7, 0))
    return trees.add("devices", root, sealed=True).name


def test_what_only_root_may_read_or_write_in_proc(trees: Trees) -> None:
    """Whatever this kernel has there, by its mode on the host."""
    alone, written = set(), set()
    for path in Path("/proc").iterdir():
        if path.name.isdecimal() or path.is_symlink():
            continue
        mode = path.stat().st_mode
        if not mode & 0o004:
            alone.add(path.name)
        elif mode & 0o222 or path.is_dir():
            written.add(path.name)
    assert {"kmsg", "kpagecount"} <= alone and "sys" in written
    lines = [line.split() for line in trees.sh("cat /proc/self/mountinfo", NO).splitlines()]
    mounted = {line[4].removeprefix("/proc/"): (line[3], line[5].split(",")) for line in lines}
    assert all(mounted[name][0] in ("/nothing", "/nowhere") for name in alone)
    assert all("ro" in mounted[name][1] for name in written)


def test_what_the_caller_could_hand_on_stays_with_it(trees: Trees) -> None:
    """Inheritable capabilities are no part of the bounding set, and root's programs get them (CVE-2022-24769)."""
    argv = trees.argv("launch", "-q", "base", NO, "--", "grep", "^Cap", "/proc/self/status")
    caps = "+sys_admin,+sys_ptrace,+net_admin"
    argv = ["setpriv", f"--inh-caps={caps}", f"--ambient-caps={caps}", *argv]
    done = subprocess.run(argv, env=trees.environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[1::2] == ["0" * 16, BOUNDS, BOUNDS, BOUNDS, "0" * 16]


def test_the_hosts_mounts_stay_as_they_are(trees: Trees) -> None:
    """Where they are shared, as systemd has them, a copy of them is a peer."""
    script = """
        mount --make-rshared / && cat /proc/self/mountinfo >/tmp/before.$$ && "$@" && cat /proc/self/mountinfo |
            diff /tmp/before.$$ - && echo same; rm /tmp/before.$$
    """
    done = trees.apart(script, "launch", "-q", "base", NO, "--tmpfs", "/data", "--", "touch", "/data/x")
    assert done.stdout == "same\n", done


def test_owners_and_setuid(trees: Trees, tree: str, tmp_path: Path) -> None:
    (tmp_path / "theirs").touch()
    os.chown(tmp_path / "theirs", 1000, 1000)
    share = f"--bind={tmp_path}:/data"
    said = trees.sh("cd /data; stat -c %u theirs; touch ours; chmod 4755 ours 2>&1; :", NO, share, tree=tree)
    assert said.split("\n")[0] == "1000" and "Operation not permitted" in said
    status = (tmp_path / "ours").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, 0o644)
    trees.sh("touch /s; chmod 4755 /s; chown 33:44 /root", NO, tree=tree)
    assert trees.sh("stat -c %a:%u:%g /s; stat -c %u:%g /root", tree=tree).split() == ["4755:0:0", "33:44"]


def test_its_root_is_limited_from_outside(trees: Trees) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; echo all"
    done = trees.run("launch", "-q", "base", NO, "--pids", "6", "--", "sh", "-c", script)
    assert "all" not in done.stdout or "can't fork" in done.stderr, done


def test_who_enters_is_bounded_alike(trees: Trees) -> None:
    script = "id; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; readlink /proc/self/ns/user"
    name = trees.run("launch", "-q", "-d", "base", NO, "--", "sh", "-c", f"{script}; sleep 1000").stdout.strip()
    try:
        first = trees.run("enter", name, "--", "sh", "-c", script)
        assert trees.run("logs", name).stdout == first.stdout and BOUNDS in first.stdout
        # What enters is Python until its exec: nobody inside looks into it, though its id is root's.
        spy = "for i in 1 2 3 4 5 6 7 8 9 10; do ls -l /proc/[0-9]*/exe; done 2>/dev/null | grep -c python"
        spying = trees.start("enter", name, "--", "sh", "-c", spy)
        for _ in range(5):
            assert trees.run("enter", name, "--", "true").returncode == 0
        assert spying.communicate()[0] == b"0\n"
    finally:
        trees.run("stop", "--timeout", "0", name)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--boot",), "a boot and --private-users no exclude each other"),
        (("--cap-add", "SYS_ADMIN"), "--cap-add and --private-users no exclude each other"),
        (("--seccomp", "off"), "--seccomp off and --private-users no exclude each other"),
        (("--bind", "/tmp:/x:noidmap"), "noidmap and --private-users no exclude each other"),
        (("--private-users", "maybe"), "there are: yes (the default), no"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_it(trees: Trees, options: tuple[str, ...], said: str) -> None:
    done = trees.run("launch", "-q", "base", NO, *options, "--", "true")
    assert (done.returncode, said in done.stderr) == (125, True), done


def test_without_root_it_is_refused(me: Plain) -> None:
    for options in (NO,), ("--isolation=chroot", "--user=me"):
        done = me.run("launch", "-q", "base", *options, "--", "true", status=125)
        assert "takes root" in done.stderr


@pytest.mark.parametrize("options", [(), (NO,), ("--isolation=chroot", "--user=me")])
def test_sockets_of_the_hosts_network_that_have_no_path(trees: Trees, options: tuple[str, ...]) -> None:
    """Who trusted root there was containerd (CVE-2020-15257). Landlock keeps them out, since Linux 6.12."""
    if tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) < (6, 12):
        pytest.skip("before Linux 6.12 Landlock has no scopes")
    network = () if "--isolation=chroot" in options else ("--network=host",)
    programs = [f"--bind={path}:{path}:ro" for path in ("/usr", "/lib", "/lib64") if os.path.exists(path)]
    name = f"treesmith-test-{os.getpid()}"
    ask = (
        "import socket, sys, os\n"
        "def connect(name):\n"
        "    try: socket.socket(socket.AF_UNIX).connect('\\0' + name); return 'connected'\n"
        "    except OSError as error: return error.strerror\n"
        f"print(connect('{name}'))\n"
        "own = socket.socket(socket.AF_UNIX); own.bind('\\0' + sys.argv[1]); own.listen()\n"
        "print(connect(sys.argv[1]))\n"
        "os.makedirs('/tmp/a/x'); os.makedirs('/tmp/b'); os.rename('/tmp/a/x', '/tmp/b/y'); print('moved')\n"
    )
    with socket.socket(socket.AF_UNIX) as host:
        host.bind(f"\0{name}")
        host.listen()
        with socket.socket(socket.AF_UNIX) as own:
            own.connect(f"\0{name}")  # the host's own may
        command = ("/usr/bin/python3", "-I", "-c", ask, f"{name}-own")
        done = trees.run("launch", "-q", "base", *network, *options, *programs, "--", *command)
    assert done.stdout.split("\n")[:3] == ["Operation not permitted", "connected", "moved"], done


@pytest.fixture
def unmapped(tmp_path: Path) -> Iterator[Trees]:
    """Kept where nothing can be id-mapped: on an overlay."""
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    merged = tmp_path / "merged"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "tests", merged], check=True)
    try:
        yield Trees(merged)
    finally:
        subprocess.run(["umount", merged], check=True)


def test_where_nothing_can_be_id_mapped(unmapped: Trees, tmp_path: Path) -> None:
    said = unmapped.run("--store", str(tmp_path / "merged/other"), "init").stdout
    assert "no id-mapped mounts: launches there need --private-users no" in said
    refused = unmapped.run("launch", "-q", "base", "--", "true")
    assert refused.returncode == 125 and "the tree cannot be id-mapped" in refused.stderr
    assert "--private-users no" in refused.stderr
    tree = unmapped.fresh()
    assert unmapped.sh("touch /x; chown 33:44 /root; id -u", NO, tree=tree) == "0\n"
    chroot = ("--isolation=chroot", "--user=me")
    assert unmapped.sh("stat -c %u:%g /x /root; id -u", *chroot, tree=tree).split() == ["0:0", "33:44", "1000"]
