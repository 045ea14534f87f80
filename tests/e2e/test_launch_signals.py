"""The command `launch`: signals, the first process, what ends with what."""

import os
import signal
import subprocess
import time

import pytest
from launching import PATIENCE, Trees, wait_for


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "USR1", "USR2", "TERM"])
def test_signals_are_forwarded(trees: Trees, name: str) -> None:
    script = f"trap 'echo got; exit 9' {name}; echo up; while :; do sleep 0.05; done"
    with trees.start("launch", "-q", "base", "--", "sh", "-c", script) as process:
        assert process.stdout and process.stdout.readline() == b"up\n"
        process.send_signal(getattr(signal, f"SIG{name}"))
        assert process.stdout.read() == b"got\n"
        assert process.wait(PATIENCE) == 9


def test_a_signal_during_the_start_is_not_lost(trees: Trees) -> None:
    """It ends the supervisor before that has anything to clean (by the signal), or the command (128 + the signal)."""
    ends = set()
    for step in range(40):
        process = trees.start("launch", "-q", "base", "--", "sleep", "1000")
        time.sleep(step * 0.004)
        process.send_signal(signal.SIGTERM)
        ends.add(process.wait(PATIENCE))
        assert process.stdout
        process.stdout.close()
    assert ends <= {-15, 143} and 143 in ends


def test_what_the_caller_ignores_stays_ignored(trees: Trees) -> None:
    argv = ["nohup", *trees.argv("launch", "-q", "base", "--", "sh", "-c", "echo up; sleep 0.3; echo end")]
    process = subprocess.Popen(argv, env=trees.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGHUP)
    assert process.communicate()[0] == b"end\n"
    assert process.returncode == 0


def test_the_callers_dispositions_and_mask_stay_outside(trees: Trees) -> None:
    argv = trees.argv("launch", "-q", "base", "--", "grep", "Sig[BI]", "/proc/self/status")
    code = f"""
import os, signal
for number in (signal.SIGCHLD, signal.SIGTTOU, signal.SIGUSR1, 40): signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR2, 41, signal.SIGALRM))
os.execv({argv[0]!r}, {argv!r})
"""
    done = subprocess.run([argv[0], "-c", code], env=trees.environment, capture_output=True, text=True, check=True)
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["0" * 16, "0" * 16]


def test_orphans_are_reaped(trees: Trees) -> None:
    script = "for i in 1 2 3 4 5; do (sleep 0.1 &); done; sleep 0.6; cat /proc/[0-9]*/stat | grep -c ' Z '; true"
    assert trees.sh(script).strip() == "0"


def test_daemons_end_with_the_command(trees: Trees) -> None:
    started = time.monotonic()
    trees.sh("setsid sleep 1000 >/dev/null 2>&1 & setsid sleep 1000 & sleep 0.1")
    assert time.monotonic() - started < PATIENCE


def test_the_record_of_what_runs(trees: Trees, tree: str) -> None:
    from treesmith.launch import containers

    with trees.start(
        "launch", tree, "--name", "nick", "--", "sh", "-c", "echo up; cat", stdin=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stdout.readline() == b"up\n"
        wait_for("the record", lambda: [one for one in containers.running(trees.store.path) if one["name"] == "nick"])
        (record,) = [one for one in containers.running(trees.store.path) if one["name"] == "nick"]
        assert (record["tree"], record["store"], record["command"][0]) == (tree, trees.store.path, "sh")
        assert os.stat(f"/proc/{record['pid']}").st_uid >= 524288
        again = trees.run("launch", "base", "--name", "nick", "--", "true")
        assert again.returncode == 125 and "nick" in again.stderr
        process.communicate()
    assert not [one for one in containers.running(trees.store.path) if one["name"] == "nick"]
