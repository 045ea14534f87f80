"""The command `launch` on a terminal, as a person has it."""

import os
import signal
from collections.abc import Iterator

import pytest
from launching import Terminal, Trees, wait_for


@pytest.fixture
def shell(trees: Trees) -> Iterator[Terminal]:
    """An interactive shell in a tree."""
    with on_terminal(trees, "env", "PS1=ready> ", "sh") as terminal:
        terminal.expect("ready> ")
        yield terminal


def on_terminal(trees: Trees, *command: str, options: tuple[str, ...] = ()) -> Terminal:
    return Terminal(trees.argv("launch", "-q", *options, "base", "--", *command), trees.environment)


def test_it_is_a_terminal_of_its_own(shell: Terminal) -> None:
    shell.type("test -t 0 && test -t 1 && test -t 2 && tty; ls /dev/pts; exit 7\n")
    shell.expect("/dev/pts/0\r\n")
    assert shell.end() == 7


def test_its_size_from_the_start_and_ever_after(shell: Terminal) -> None:
    shell.type("stty size\n")
    shell.expect("30 100\r\n")
    shell.resize(50, 120)
    wait_for("the new size", lambda: size_inside(shell) == "50 120")
    shell.type("exit\n")
    assert shell.end() == 0


def size_inside(shell: Terminal) -> str:
    shell.type("stty size\n")
    shell.expect("stty size\r\n")
    return shell.expect("\r\n")


def test_the_size_is_there_before_the_command(trees: Trees) -> None:
    with on_terminal(trees, "stty", "size") as terminal:
        terminal.expect("30 100")
        assert terminal.end() == 0


def test_ctrl_c_goes_inside(trees: Trees) -> None:
    with on_terminal(trees, "sh", "-c", "echo up; exec sleep 1000") as terminal:
        terminal.expect("up")
        terminal.type("\x03")
        assert terminal.end() == 130


def test_ctrl_c_is_the_shells_jobs(shell: Terminal) -> None:
    start_job(shell)
    shell.type("\x03")
    shell.expect("ready> ")
    shell.type("echo still h''ere; exit 3\n")
    shell.expect("still here")
    assert shell.end() == 3


def start_job(shell: Terminal) -> None:
    """What is typed before it runs would be the shell's."""
    shell.type("sleep 987654\n")
    wait_for("sleep", lambda: not os.system("pgrep -xf 'sleep 987654' > /dev/null"))
    shell.expect("sleep 987654")


def test_ctrl_z_and_jobs(shell: Terminal) -> None:
    start_job(shell)
    shell.type("\x1a")
    shell.expect("Stopped")
    shell.type("jobs\n")
    shell.expect("sleep 987654")
    shell.type("kill %1; fg; echo $?\n")
    shell.expect("143")
    shell.type("exit 0\n")
    assert shell.end() == 0


def test_ctrl_backslash(trees: Trees) -> None:
    with on_terminal(trees, "sleep", "987653") as terminal:
        wait_for("sleep", lambda: not os.system("pgrep -xf 'sleep 987653' > /dev/null"))
        terminal.type("\x1c")
        assert terminal.end() == 131


def test_ctrl_d(shell: Terminal) -> None:
    shell.type("\x04")
    assert shell.end() == 0


def test_every_byte_gets_through(trees: Trees) -> None:
    script = "stty raw -echo; echo up; dd bs=1 count=256 2>/dev/null | md5sum"
    with on_terminal(trees, "sh", "-c", script) as terminal:
        terminal.expect("up")
        os.write(terminal.master, bytes(range(256)))
        terminal.expect("e2c865db4162bed963bfaa9ef6ac18f0")  # md5 of 0 to 255
        assert terminal.end() == 0


def test_megabytes(trees: Trees) -> None:
    with on_terminal(trees, "seq", "200000") as terminal:
        assert len(terminal.expect("200000\r\n").split()) == 199999
        assert terminal.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_from_outside_leaves_the_terminal_as_it_was(trees: Trees, number: int) -> None:
    with on_terminal(trees, "sh", "-c", "echo up; exec sleep 1000") as terminal:
        terminal.expect("up")
        terminal.process.send_signal(number)
        assert terminal.end() == 128 + number


def test_stopped_from_outside_and_continued(trees: Trees) -> None:
    """The shell that started us has its terminal back meanwhile; afterwards it is raw again."""
    with on_terminal(trees, "sh", "-c", "echo up; read -r x; echo got $x") as terminal:
        terminal.expect("up")
        terminal.process.send_signal(signal.SIGTSTP)
        wait_for("stop", lambda: os.waitid(os.P_PID, terminal.process.pid, os.WSTOPPED | os.WNOHANG))
        assert terminal.modes == current(terminal)
        terminal.process.send_signal(signal.SIGCONT)
        wait_for("raw", lambda: terminal.modes != current(terminal))
        terminal.type("word\n")
        terminal.expect("got word")
        assert terminal.end() == 0


def current(terminal: Terminal) -> list[object]:
    import termios

    return termios.tcgetattr(terminal.slave)


def test_a_failed_start_leaves_the_terminal_alone(trees: Trees) -> None:
    with on_terminal(trees, "nothere") as terminal:
        terminal.expect("nothere: not found")
        assert terminal.end() == 127


def test_a_user_has_the_terminal(trees: Trees) -> None:
    with on_terminal(trees, "sh", "-c", "echo x > /dev/tty; echo y > /dev/stdout; stat -c %u:%g /dev/pts/0",
                     options=("--user", "me")) as terminal:  # fmt: skip
        terminal.expect("x\r\ny\r\n1000:5\r\n")
        assert terminal.end() == 0


def test_forced_into_a_pipe(trees: Trees) -> None:
    done = trees.run("launch", "-q", "--tty", "base", "--", "sh", "-c", "tty; cat", input="some\ntext")
    assert done.returncode == 0
    assert done.stdout.endswith("/dev/pts/0\nsome\ntext")


def test_pipes_on_a_terminal(trees: Trees) -> None:
    with on_terminal(trees, "sh", "-c", "test -t 0 || test -t 1 || echo pipes", options=("--pipe",)) as terminal:
        terminal.expect("pipes")
        assert terminal.end() == 0


def test_nothing_inside_can_type_into_our_terminal(trees: Trees) -> None:
    """The caller's terminal is not inside: neither as a descriptor nor as the controlling one."""
    with on_terminal(trees, "sh", "-c", "ls -l /proc/*/fd | grep -c pts/0; echo x >/dev/tty || echo none",
                     options=("--pipe",)) as terminal:  # fmt: skip
        terminal.expect("0\r\n")
        terminal.expect("none")
        assert terminal.end() == 0
