"""What a container cannot do: to the host, to other users of it, to its own root's outside."""

import os
import re
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from launching import Trees

from treesmith.linux.mount import PRIVATE, mount, move_mount
from treesmith.linux.process import NEWNS, unshare

NOBODY = 65534
_OURS = r"/$|/(dev|proc|sys)(/|$)|/etc/(hosts|localtime)$"  # places where something is mounted


def test_root_is_nobody_outside(trees: Trees) -> None:
    with trees.start("launch", "-q", "base", "--", "sh", "-c", "echo up; cat", stdin=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"up\n"
        children = subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True).split()
        grandchildren = subprocess.check_output(["pgrep", "-P", children[0]], text=True).split()
        for pid in (*children, *grandchildren):
            status = Path(f"/proc/{pid}/status").read_text()
            for line in re.findall(r"^[UG]id:\t(.*)$", status, re.MULTILINE):
                assert all(int(id) >= 524288 for id in line.split())
            assert "\nGroups:\t \n" in status
        process.communicate()


def test_two_containers_share_no_ids(trees: Trees) -> None:
    first, second = (trees.sh("cat /proc/self/uid_map").split() for _ in range(2))
    assert first[0] == "0" and first[2] == "65536"
    assert first != second


def test_ids_on_disk_are_unshifted(trees: Trees, tree: str) -> None:
    trees.sh("touch /a; touch /b; chown 33:44 /b; chown 65535:65535 /root", tree=tree)
    owners = in_root(trees, tree, "stat -c %u:%g a b root", 0).split()
    assert owners == ["0:0", "33:44", "65535:65535"]


def in_root(trees: Trees, tree: str, script: str, user: int) -> str:
    """What a host user says who runs a script in the tree's root, as the host mounts it, if everyone could reach it."""
    found = trees.store.find(tree)
    view = trees.store.backend.open(found, "ro")
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            unshare(NEWNS)
            mount("", "/", "", PRIVATE | 0x4000)
            mount("none", "/mnt", "tmpfs", 0, "mode=0755")
            os.mkdir("/mnt/root")
            move_mount(view.mount(), -100, "/mnt/root")
            os.chdir("/mnt/root")
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            os.dup2(writer, 1)
            os.dup2(writer, 2)
            os.execv("/bin/sh", ["sh", "-c", script])
        finally:
            os._exit(99)
    os.close(writer)
    with open(reader) as file:
        said = file.read()
    os.waitpid(pid, 0)
    view.close()
    return said


# busybox is no test: it drops what a setuid bit gave it, and its shell does not execute its own applets.
HOST_PROGRAMS = [
    f"--bind={source}:{target}:ro,noidmap"
    for source, target in (("/usr", "/host"), ("/usr/lib", "/lib"), ("/usr/lib64", "/lib64"))
]


def test_a_setuid_file_is_useless_outside(trees: Trees, tree: str) -> None:
    trees.sh("cp /host/bin/id /setuid; chmod 6755 /setuid", *HOST_PROGRAMS, tree=tree)
    assert trees.sh("/setuid -u", "--user", "me", *HOST_PROGRAMS, tree=tree) == "0\n"
    assert in_root(trees, tree, "./setuid -u; ./setuid -g", NOBODY).split() == [str(NOBODY)] * 2


def test_a_file_capability_is_useless_outside(trees: Trees, tree: str) -> None:
    script = "echo hidden > /secret; chmod 600 /secret; cp /host/bin/cat /capable"
    trees.sh(f"{script}; /host/sbin/setcap cap_dac_override=ep /capable", *HOST_PROGRAMS, tree=tree)
    assert trees.sh("/capable /secret", "--user", "me", *HOST_PROGRAMS, tree=tree) == "hidden\n"
    said = in_root(trees, tree, "./capable /etc/shadow", NOBODY)
    assert "Permission denied" in said and "root:" not in said


def test_the_store_is_closed_to_others(trees: Trees) -> None:
    assert stat.S_IMODE(os.stat(trees.store.path).st_mode) == 0o700
    done = subprocess.run(["ls", trees.store.path], user=NOBODY, capture_output=True, check=False)
    assert done.returncode != 0


def test_device_nodes_of_the_tree_cannot_be_opened(trees: Trees, tree: str, tmp_path: Path) -> None:
    os.mknod(tmp_path / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(tmp_path / "kmsg", 0o666 | stat.S_IFCHR, os.makedev(1, 11))
    subprocess.run(["cp", "-a", "/bin/busybox", tmp_path / "busybox"], check=True)
    (tmp_path / "bin").mkdir()
    for name in ("sh", "cat", "ls", "mknod"):
        (tmp_path / "bin" / name).symlink_to("../busybox")
    trees.add("nodes", tmp_path)
    for option in (), ("--ephemeral",):  # a plain root, and an overlay
        said = trees.sh("cat /null 2>&1; cat /kmsg 2>&1; mknod /new c 1 3 2>&1; ls /null; :", *option, tree="nodes")
        assert (
            said.count("Permission denied") == 2
            and "/new: Operation not permitted" in said
            and said.endswith("/null\n")
        )


def test_only_three_descriptors(trees: Trees) -> None:
    """Also of the first process, and whatever the caller leaves open."""
    leaked = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    script = "ls /proc/1/fd; for n in 3 4 5 6 7 8 9 10 11 12 20 30; do test -e /proc/self/fd/$n && echo $n; done; true"
    argv = trees.argv("launch", "-q", "base", "--", "sh", "-c", script)
    try:
        os.set_inheritable(leaked, True)
        done = subprocess.run(argv, env=trees.environment, close_fds=False, capture_output=True, text=True, check=True)
    finally:
        os.close(leaked)
    assert done.stdout.split() == ["0", "1", "2"]


def test_a_leaked_descriptor_is_no_way_out_by_the_working_directory(trees: Trees) -> None:
    for number in range(3, 20):
        done = trees.run("launch", "-q", "base", "--chdir", f"/proc/self/fd/{number}", "--", "ls")
        assert (done.returncode, done.stdout) == (125, "")


def test_the_first_process_is_the_init_in_memory(trees: Trees) -> None:
    assert trees.sh("readlink /proc/1/exe").startswith("/memfd:init")
    said = trees.sh("echo x 2>&1 > /proc/1/exe; cp /bin/busybox /proc/1/exe 2>&1; cat /proc/*/comm; true")
    assert said.count("Text file busy") + said.count("Permission denied") == 2, said
    assert "python" not in said and "treesmith" not in said


def test_nothing_of_the_host_is_mounted(trees: Trees, tree: str) -> None:
    for name in (tree, "base"):
        mounts = [line.split() for line in trees.sh("cat /proc/self/mountinfo", tree=name).splitlines()]
        points = [fields[4] for fields in mounts]
        assert points.count("/") == 1
        assert not [point for point in points if not re.match(_OURS, point)]
        assert len({point for point in points if not point.startswith("/dev")}) == len(
            [point for point in points if not point.startswith("/dev")]
        )


def test_capabilities(trees: Trees) -> None:
    wanted = sum(1 << number for number in (0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31))
    lines = trees.sh("grep Cap /proc/self/status; grep Cap /proc/1/status").split()
    assert lines[1::2] == [f"{mask:016x}" for mask in (0, wanted, wanted, wanted, 0)] * 2
    lines = trees.sh("grep Cap /proc/self/status", "--user", "me").split()
    assert lines[1::2] == [f"{mask:016x}" for mask in (0, 0, 0, wanted, 0)]


@pytest.mark.parametrize(
    "script",
    [
        "mount -t tmpfs none /tmp", "umount /proc/keys", "mount -o remount,rw /proc/sys", "hostname x",
        "chroot /etc umount /proc", "mknod /x b 8 0", "echo 1 > /proc/sys/vm/drop_caches",
        "echo x > /proc/sysrq-trigger", "echo 1 > /sys/kernel/mm/ksm/run", "dmesg -c", "adjtimex -f 0",
        "unshare -m true", "nsenter -t 1 -m true", "reboot -f", "swapoff -a && false", "renice -20 $$",
    ],
)  # fmt: skip
def test_what_root_inside_may_not(trees: Trees, script: str) -> None:
    done = trees.run("launch", "-q", "base", "--", "sh", "-c", script)
    assert done.returncode not in (0, 125), done


@pytest.mark.parametrize("path", ["/proc/keys", "/proc/timer_list", "/proc/interrupts", "/proc/acpi", "/sys/firmware"])
def test_masked(trees: Trees, path: str) -> None:
    if not os.path.exists(path):
        pytest.skip("not on this kernel")
    said = trees.sh(f"test -d {path} && ls {path} || cat {path}; touch {path}/x 2>&1 || true")
    assert len(said.splitlines()) == 1


def test_no_network(trees: Trees) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert trees.sh("ls /sys/class/net; tail -n +2 /proc/net/route") == "lo\n"
        assert trees.run("launch", "base", "--", "nc", "127.0.0.1", str(port)).returncode == 1
        connected = trees.start("launch", "-q", "base", "--network", "host", "--", "nc", "127.0.0.1", str(port))
        server.accept()[0].close()
        connected.communicate()


def test_its_own_loopback_works(trees: Trees) -> None:
    script = "nc -l -p 80 -e echo hello & until nc 127.0.0.1 80 </dev/null; do sleep 0.05; done"
    assert trees.sh(script) == "hello\n"


def test_every_namespace_is_its_own(trees: Trees) -> None:
    names = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
    inside = trees.sh("for n in " + " ".join(names) + "; do readlink /proc/self/ns/$n; done").split()
    assert not set(inside) & {os.readlink(f"/proc/self/ns/{name}") for name in names}
    assert trees.sh("cat /proc/self/cgroup | grep ^0:") == "0::/\n"


def test_the_umask_of_the_caller_stays_outside(trees: Trees, tree: str) -> None:
    done = subprocess.run(trees.argv("launch", tree, "--", "sh", "-c", "umask; touch /f; stat -c %a /f /dev /dev/shm"),
                          env=trees.environment, umask=0o077, capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.split() == ["0022", "644", "755", "1777"]
