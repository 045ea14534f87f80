"""enter: a command in a container that runs, as bounded as the container itself."""

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from launching import PATIENCE, Terminal, Trees, wait_for

from treesmith.launch import containers


@pytest.fixture
def inside(trees: Trees, no_leaks: None) -> Iterator[str]:
    """The name of a container that runs."""
    done = trees.run("launch", "-q", "-d", "base", "--setenv", "KEPT=yes", "--", "sh", "-c", "sleep 100000")
    assert done.returncode == 0, done.stderr
    name = done.stdout.strip()
    yield name
    trees.run("stop", name, "--timeout", "0")


@pytest.mark.parametrize("status", [0, 1, 7, 125, 255])
def test_the_status_is_the_commands(trees: Trees, inside: str, status: int) -> None:
    assert trees.run("enter", inside, "--", "sh", "-c", f"exit {status}").returncode == status


@pytest.mark.parametrize("number", [2, 9, 15])
def test_the_signal_that_ended_it(trees: Trees, inside: str, number: int) -> None:
    assert trees.run("enter", inside, "--", "sh", "-c", f"kill -{number} $$").returncode == 128 + number


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--", "nothere"), 127, "nothere: not found"),
        (("--", "/etc"), 126, "it is a folder"),
        (("--user", "nobodyknows", "--", "true"), 125, "no user"),
        (("--chdir", "/nowhere", "--", "true"), 125, "cannot be the working directory"),
        (("--tty", "--pipe", "--", "true"), 125, "exclude each other"),
    ],
)
def test_failures(trees: Trees, inside: str, words: tuple[str, ...], status: int, said: str) -> None:
    done = trees.run("enter", inside, *words)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr


def test_what_does_not_run(trees: Trees) -> None:
    done = trees.run("enter", "nothing", "--", "true")
    assert done.returncode == 125 and "no container nothing is running" in done.stderr


BOUNDS = (
    "for n in user mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done; "
    "grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups|[UG]id)' "
    "/proc/self/status; ls /proc/self/fd | wc -l; pwd; id; hostname; cat /proc/self/cgroup; env | sort; umask; "
    "cat /proc/self/mountinfo | wc -l"
)


def test_it_is_bounded_as_the_container_is(trees: Trees) -> None:
    """The same questions, asked by the container's own command and by one that enters, have the same answers."""
    for user in ("root", "me"):
        script = f"{BOUNDS}; echo asked; sleep 100000"
        words = ("launch", "-q", "-d", "base", "--user", user, "--chdir", "/etc", "--setenv", "KEPT=a b")
        name = trees.run(*words, "--", "sh", "-c", script).stdout.strip()
        wait_for("its answers", lambda name=name: "asked" in trees.run("logs", name).stdout)
        first = trees.run("logs", name).stdout.removesuffix("asked\n").splitlines()
        second = trees.run("enter", name, "--", "sh", "-c", BOUNDS)
        assert second.returncode == 0 and "KEPT=a b" in first
        assert second.stdout.splitlines() == first
        assert trees.run("stop", name, "--timeout", "0").returncode == 0


def test_it_is_inside(trees: Trees, inside: str) -> None:
    found = trees.run("enter", inside, "--", "sh", "-c", "ps -o args | grep -c 'sleep 10000[0]'; echo x > /tmp/file")
    assert (found.returncode, found.stdout) == (0, "2\n")
    assert trees.run("enter", inside, "--", "cat", "/tmp/file").stdout == "x\n"


def test_its_own_environment_user_and_place(trees: Trees, inside: str) -> None:
    words = (
        "--user",
        "me",
        "--chdir",
        "/home",
        "--setenv",
        "KEPT=no",
        "--",
        "sh",
        "-c",
        "echo $KEPT $HOME $PWD; id -u",
    )
    done = trees.run("enter", inside, *words)
    assert (done.returncode, done.stdout) == (0, "no /home/me /home\n1000\n"), done.stderr


def test_no_descriptor_of_ours(trees: Trees, inside: str) -> None:
    folder = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    words = trees.argv("enter", inside, "--", "ls", "/proc/self/fd")
    done = subprocess.run(words, env=trees.environment, capture_output=True, text=True, check=True, pass_fds=[folder])
    os.close(folder)
    assert done.stdout.split() == ["0", "1", "2", "3"]  # 3: the listing's own


def test_nothing_inside_may_look_into_us(trees: Trees) -> None:
    """While many commands enter, root inside tries to open what every process there is and has."""
    script = (
        "echo up; while :; do for p in /proc/[0-9]*; do "
        "for f in exe root/etc/shadow cwd/etc/shadow fd/0 mem; do "
        "if (: >> $p/$f) 2>/dev/null; then echo wrote $p/$f $(readlink $p/exe); fi; done; "
        "readlink $p/exe; done 2>/dev/null | grep python; done"
    )
    name = trees.run("launch", "-q", "-d", "base", "--", "sh", "-c", script).stdout.strip()
    wait_for("its begin", lambda: trees.run("logs", name).stdout == "up\n")
    for _ in range(40):
        assert trees.run("enter", name, "--", "true").returncode == 0
    assert trees.run("stop", name, "--timeout", "0").returncode == 0
    assert trees.run("logs", name).stdout == "up\n"


def test_thirty_megabytes_both_ways(trees: Trees, inside: str) -> None:
    data = os.urandom(1 << 20) * 30
    done = subprocess.run(
        trees.argv("enter", inside, "--", "cat"), input=data, env=trees.environment, capture_output=True, check=True
    )
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
    assert not done.stderr


def test_on_a_terminal(trees: Trees, inside: str) -> None:
    argv = trees.argv("enter", inside, "--", "env", "PS1=ready> ", "sh")
    with Terminal(argv, trees.environment) as shell:
        shell.expect("ready> ")
        shell.type("tty; stty size; sleep 987652; echo $?\n")
        shell.expect("/dev/pts/0\r\n")
        shell.expect("30 100\r\n")
        time.sleep(0.2)
        shell.type("\x03")
        shell.expect("ready> ")
        shell.type("exit 6\n")
        assert shell.end() == 6


def test_a_signal_to_the_caller_goes_to_the_command(trees: Trees, inside: str) -> None:
    script = "trap 'exit 9' TERM; echo up; while :; do sleep 0.01; done"
    with trees.start("enter", inside, "--", "sh", "-c", script) as process:
        assert process.stdout and process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 9


def test_it_dies_with_its_caller(trees: Trees, inside: str) -> None:
    for delay in (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.3):
        process = trees.start("enter", inside, "--", "sleep", "31415")
        time.sleep(delay)
        process.kill()
        process.communicate()
        wait_for("its end", lambda: not any(b"31415" in reading(one) for one in Path("/proc").glob("[0-9]*/cmdline")))
        bury()
    assert trees.run("enter", inside, "--", "true").returncode == 0


def bury() -> None:
    """An orphan that entered is the machine's init's to reap, and we took that one's place: see ground.py. Until then
    the kernel holds its pid namespace."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        if reading(stat).rpartition(b")")[2].split()[:2] == [b"Z", b"%d" % os.getpid()]:
            os.waitpid(int(stat.parent.name), 0)


def reading(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_it_ends_with_the_container(trees: Trees, inside: str) -> None:
    with trees.start("enter", inside, "--", "sh", "-c", "echo up; sleep 1000") as process:
        assert process.stdout and process.stdout.readline() == b"up\n"
        assert trees.run("stop", inside, "--timeout", "0").returncode == 0
        assert process.wait(PATIENCE) == 137


def test_it_is_frozen_with_the_container(trees: Trees, inside: str) -> None:
    record = containers.find(trees.store.path, inside)
    with trees.start("enter", inside, "--", "sh", "-c", "echo up; sleep 1000") as process:
        assert process.stdout and process.stdout.readline() == b"up\n"
        listed = Path(record["cgroup"], "cgroup.procs").read_text().split()
        assert len(listed) == 3  # the init, its command, ours
        assert trees.run("freeze", inside).returncode == 0
        done = trees.run("enter", inside, "--", "true")
        assert done.returncode == 125 and "is frozen" in done.stderr
        assert trees.run("thaw", inside).returncode == 0
        process.terminate()
        assert process.wait(PATIENCE) == 143


def test_a_script_whose_interpreter_is_whoever_runs_it(trees: Trees) -> None:
    """CVE-2019-5736: what it is given is nothing of the host."""
    for script in ("#!/proc/self/exe", "#!/proc/self/exe -h"):
        made = f"printf '{script}\\n' > /evil; chmod 755 /evil; echo up; sleep 1000"
        with trees.start("launch", "-q", "base", "--name", "evil", "--", "sh", "-c", made) as process:
            assert process.stdout and process.stdout.readline() == b"up\n"
            done = trees.run("enter", "evil", "--", "/evil")
            assert done.returncode not in (0, 125) and "python" not in (done.stdout + done.stderr).lower()
            process.terminate()


@pytest.mark.parametrize("user", ["root", "me"])
def test_what_the_kernel_cannot_execute_goes_to_the_shell(trees: Trees, inside: str, user: str) -> None:
    trees.run("enter", inside, "--", "sh", "-c", "echo 'echo $0 $@; exit 5' > /tmp/script; chmod 755 /tmp/script")
    done = trees.run("enter", inside, "--user", user, "--setenv", "PATH=/bin:/tmp", "--", "script", "a b", "c")
    assert (done.returncode, done.stdout) == (5, "/tmp/script a b c\n"), done


def test_a_killed_caller_holds_up_no_end(trees: Trees, inside: str) -> None:
    """Where the host's init buries nobody, as we do not here: see ground.py."""
    for _ in range(3):
        with trees.start("enter", inside, "--", "sh", "-c", "echo up; sleep 1000") as process:
            assert process.stdout and process.stdout.readline() == b"up\n"
            process.kill()
    assert trees.run("stop", inside, "--timeout", "0").returncode == 0


def test_a_killed_caller_is_survived_by_nothing(trees: Trees, inside: str, tmp_path: Path) -> None:
    """Killed at each of its system calls, and its keeper and the one inside at each of theirs."""
    cgroup = Path(containers.find(trees.store.path, inside)["cgroup"], "cgroup.procs")
    before = cgroup.read_text().split()
    hits = 0
    for call in ("clone3", "pidfd_open", "sendmsg", "recvmsg", "sendto", "setns", "prctl", "execve", "poll", "wait4"):
        for follow in ((), ("-f",)):
            for when in (1, 2, 3):
                trace = tmp_path / "trace"
                options = f"-o {trace} -e trace={call} -e inject={call}:signal=KILL:when={when}".split()
                words = trees.argv("enter", inside, "--", "true")
                subprocess.run(["strace", *follow, *options, *words], env=trees.environment, stdin=subprocess.DEVNULL,
                               capture_output=True, check=False, timeout=PATIENCE)  # fmt: skip
                hits += "+++ killed by SIGKILL" in trace.read_text()
                wait_for("the end of all that entered", lambda: cgroup.read_text().split() == before)
                bury()
    assert hits > 20
    assert trees.run("enter", inside, "--", "true").returncode == 0
