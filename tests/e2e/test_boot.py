"""An init as the first process: its console, its end, being asked to end. Inits here are busybox and shell scripts; the
real ones are in test_boot_online."""

import json
import signal
from pathlib import Path

import pytest
import roots
from launching import PATIENCE, Terminal, Trees, wait_for

INITTAB = "::sysinit:/bin/echo up\n::sysinit:/bin/touch /run/up\n::respawn:-/bin/sh\n::shutdown:/bin/echo down\n"
BOOT = {7: "kill", 9: "linux_immutable", 12: "net_admin", 21: "sys_admin", 22: "sys_boot"}
NEVER = {2: "dac_read_search", 16: "sys_module", 17: "sys_rawio", 25: "sys_time", 27: "mknod", 34: "syslog", 39: "bpf"}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    folder = tmp_path_factory.mktemp("trees")
    trees = Trees(folder)
    root = roots.busybox(folder / "booted")
    (root / "sbin").mkdir()
    (root / "sbin/init").symlink_to("/bin/busybox")
    (root / "etc/inittab").write_text(INITTAB)
    trees.add("booted", root, sealed=True)
    return trees


def status(trees: Trees, script: str, *options: str, tree: str = "base") -> int:
    done = trees.run("launch", "-q", "--boot", *options, tree, "--", "/bin/sh", "-c", script)
    assert not done.stderr, done.stderr
    return done.returncode


@pytest.mark.parametrize(
    ("end", "expected"),
    [("exit 7", 7), ("kill -9 $$; exit 3", 3), ("poweroff -f", 0), ("halt -f", 0)],
)
def test_its_end_is_the_exit_status(trees: Trees, end: str, expected: int) -> None:
    assert status(trees, end) == expected


def test_a_reboot_starts_it_again_on_the_same_root(trees: Trees, tree: str) -> None:
    script = "echo x >>/starts; test $(wc -l </starts) = 3 && poweroff -f; reboot -f; sleep 9"
    assert status(trees, script, tree=tree) == 0
    assert trees.run("launch", "-q", tree, "--", "cat", "/starts").stdout == "x\n" * 3


def test_a_reboot_of_a_throw_away_copy_keeps_what_was_written(trees: Trees) -> None:
    assert status(trees, "test -e /seen && exit 4; >/seen; reboot -f; sleep 9") == 4


def test_it_is_the_first_process_and_has_a_console(trees: Trees, tree: str) -> None:
    script = (
        "exec >/report 2>&1; echo $$; cat /proc/1/comm; readlink /proc/self/fd/0; stat -c %t:%T /dev/console;"
        "stat -c %t:%T /dev/pts/0; readlink /proc/1/exe; cat /proc/self/stat; env; grep -c ' / ' /proc/self/mountinfo"
    )
    assert status(trees, script, tree=tree) == 0
    report = trees.run("launch", "-q", tree, "--", "cat", "/report").stdout.splitlines()
    assert report[:3] == ["1", "sh", "/dev/pts/0"]
    assert report[3] == report[4] == "88:0"
    assert report[5] == "/bin/busybox"  # no file of the host's
    assert report[6].rpartition(")")[2].split()[4] == "0"  # no controlling terminal: that is getty's
    assert "container=treesmith" in report and not any("NOTIFY" in line for line in report)


def test_its_bounds(trees: Trees, tree: str) -> None:
    """What it may do beyond a command, and what neither may."""
    script = "exec >/report; grep -E 'CapBnd|Seccomp:' /proc/self/status; unshare -U id -u; cat /etc/machine-id; mount"
    assert status(trees, script, tree=tree) == 0
    bounding, seccomp, uid, machine, *mounts = trees.run(
        "launch", "-q", tree, "--", "cat", "/report"
    ).stdout.splitlines()
    mask = int(bounding.split()[1], 16)
    assert all(mask >> number & 1 for number in BOOT)
    assert not any(mask >> number & 1 for number in NEVER)
    assert seccomp.split() == ["Seccomp:", "2"]
    assert uid == "65534"  # made, but not mapped
    assert len(machine) == 32 and set(machine) <= set("0123456789abcdef")
    of = {line.split()[2]: line.split()[4] for line in mounts}
    assert of["/run"] == of["/tmp"] == "tmpfs"
    assert of["/sys/fs/cgroup"] == "cgroup2"


def test_not_on_the_network_of_the_host(trees: Trees, tree: str) -> None:
    assert status(trees, "grep CapBnd /proc/self/status >/report", "--network", "host", tree=tree) == 0
    mask = int(trees.run("launch", "-q", tree, "--", "cat", "/report").stdout.split()[1], 16)
    assert not mask >> 12 & 1


def test_a_console_in_a_terminal(trees: Trees) -> None:
    with Terminal(trees.argv("launch", "-q", "--boot", "booted"), trees.environment) as terminal:
        terminal.expect("up")
        terminal.type("tty; stty size; exec poweroff\n")
        terminal.expect("/dev/pts/0")
        terminal.expect("30 100")
        terminal.expect("down")
        assert terminal.end() == 0


def test_detached_stopped_and_entered(trees: Trees) -> None:
    """busybox's init takes TERM as a wish to reboot: asked to stop it does not start again."""
    name = trees.run("launch", "-q", "-d", "--boot", "--name", "system", "booted").stdout.strip()
    assert name == "system"
    wait_for("the boot", lambda: trees.run("enter", name, "--", "test", "-e", "/run/up").returncode == 0)
    (listed,) = json.loads(trees.run("ps", "--json").stdout)["containers"]
    assert (listed["state"], listed["command"]) == ("running", ["/sbin/init"])
    assert trees.run("enter", name, "--", "sh", "-c", "cat /proc/1/comm; hostname").stdout == "init\nbooted\n"
    assert trees.run("stop", name).stdout == ""
    log = trees.run("logs", name).stdout
    assert "up\n" in log and "down\n" in log
    assert trees.run("wait", name).stdout == "0\n"


def test_the_supervisor_is_asked(trees: Trees) -> None:
    with trees.start("launch", "-q", "--boot", "booted") as process:
        assert process.stdout and process.stdout.readline() == b"up\r\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def test_sysvinit_is_asked_through_its_pipe(trees: Trees, tree: str) -> None:
    """What it is sent is told by od: initreq.h."""
    script = "mkfifo /run/initctl; dd if=/run/initctl of=/got bs=384 count=1; poweroff -f"
    with trees.start("launch", "-q", "--boot", "--name", "old", tree, "--", "/bin/sh", "-c", script):
        wait_for("its start", lambda: trees.run("enter", "old", "--", "test", "-p", "/run/initctl").returncode == 0)
        assert trees.run("stop", "old").returncode == 0
    said = trees.run("launch", "-q", tree, "--", "sh", "-c", "wc -c </got; od -An -tx4 -N16 /got").stdout.split()
    assert said == ["384", "03091969", "00000001", "00000030", "00000000"]


def test_one_that_does_not_listen_is_killed(trees: Trees) -> None:
    script = "trap '' TERM; while :; do sleep 1; done"
    with trees.start("launch", "-q", "--boot", "--name", "deaf", "base", "--", "/bin/sh", "-c", script) as process:
        wait_for("its start", lambda: trees.run("enter", "deaf", "--", "true").returncode == 0)
        assert "killed" in trees.run("stop", "--timeout", "1", "deaf").stderr
        assert process.wait(PATIENCE) == 137


def test_a_tree_that_wants_to_boot(trees: Trees) -> None:
    tree = trees.store.snapshot(trees.store.find("booted"), "wants")
    trees.store.update(tree, launch={"boot": True, "user": "me", "chdir": "/nowhere", "command": ["/bin/false"]})
    with trees.start("launch", "-q", "wants") as process:
        assert process.stdout and process.stdout.readline() == b"up\r\n"
        assert trees.run("stop", "wants").returncode == 0
        process.wait(PATIENCE)
    assert trees.run("launch", "-q", "--chdir", "/", "wants", "--", "id", "-un").stdout == "me\n"
    trees.store.remove([trees.store.find("wants")])


@pytest.mark.parametrize("option", [("--user", "me"), ("--chdir", "/etc"), ("--pipe",)])
def test_what_makes_no_sense(trees: Trees, option: tuple[str, ...]) -> None:
    done = trees.run("launch", "--boot", *option, "booted")
    assert done.returncode == 125 and f"{option[0]} and a boot exclude each other" in done.stderr


def test_no_init(trees: Trees) -> None:
    done = trees.run("launch", "-q", "--boot", "base")
    assert done.returncode == 127 and "/sbin/init: not found" in done.stderr


def test_many_boots_leave_nothing(trees: Trees, tree: str) -> None:
    """The fixture that looks for leaks is the test."""
    script = "trap 'poweroff -f' USR2; >/run/up; while :; do sleep 0.02; done"
    for _ in range(5):
        trees.run("launch", "-d", "--boot", "--ephemeral", "--name", "again", tree, "--", "/bin/sh", "-c", script)
        wait_for("the boot", lambda: trees.run("enter", "again", "--", "test", "-e", "/run/up").returncode == 0)
        assert trees.run("stop", "--signal", "USR2", "again").returncode == 0
        assert trees.run("wait", "again").stdout == "0\n"
    assert not [path for path in Path(trees.store.path, "staging").iterdir() if path.suffix != ".lock"]
