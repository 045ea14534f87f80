"""The command `launch`, through pipes: statuses, streams, signals, options."""

import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from launching import PATIENCE, Trees


@pytest.mark.parametrize("status", [0, 1, 2, 7, 125, 126, 127, 128, 143, 255])
def test_the_status_is_the_commands(trees: Trees, status: int) -> None:
    assert trees.run("launch", "base", "--", "sh", "-c", f"exit {status}").returncode == status


@pytest.mark.parametrize("number", [1, 2, 6, 9, 11, 15])
def test_the_signal_that_ended_it(trees: Trees, number: int) -> None:
    assert trees.run("launch", "base", "--", "sh", "-c", f"kill -{number} $$").returncode == 128 + number


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("nothere", 127, "nothere: not found"),
        ("/bin/nothere", 127, "/bin/nothere: not found"),
        ("/dangling", 127, "it is a link to nothing"),
        ("/etc", 126, "it is a folder"),
        ("/etc/passwd", 126, "it is not executable"),
        ("/no-interpreter", 127, "it needs /bin/nothere"),
        ("/dynamic", 127, "it needs /lib"),
        ("/fifo", 126, "cannot be run"),
    ],
)
def test_what_cannot_be_run(trees: Trees, tree: str, tmp_path: Path, command: str, status: int, said: str) -> None:
    trees.sh("ln -s nowhere /dangling; printf '#!/bin/nothere -x' > /no-interpreter; mkfifo /fifo", tree=tree)
    script = "cat /host > /dynamic; chmod 755 /no-interpreter /fifo /dynamic"
    dynamic = shutil.copy("/usr/bin/env", tmp_path)  # from where it can be id-mapped
    trees.sh(script, "--bind", f"{dynamic}:/host", tree=tree)
    done = trees.run("launch", tree, "--", command)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert done.stderr.startswith(f"treesmith: {command}")


def test_a_script_without_an_interpreter_line_runs(trees: Trees, tree: str) -> None:
    trees.sh("echo 'echo yes; exit 5' > /script; chmod 755 /script", tree=tree)
    done = trees.run("launch", tree, "--", "/script")
    assert (done.returncode, done.stdout) == (5, "yes\n")


@pytest.mark.parametrize(
    "words",
    [
        ("nosuchtree", "--", "true"),
        ("base", "--nosuchoption", "--", "true"),
        ("base", "--network", "bridge", "--", "true"),
        ("base", "--bind", "/nosuchpath:/x", "--", "true"),
        ("base", "--bind", "/tmp:/etc/passwd", "--", "true"),
        ("base", "--user", "nobodyknows", "--", "true"),
        ("base", "--user", "me:nogroup", "--", "true"),
        ("base", "--user", "70000", "--", "true"),
        ("base", "--chdir", "/nowhere", "--", "true"),
    ],
)
def test_failures_of_our_own(trees: Trees, words: tuple[str, ...]) -> None:
    done = trees.run("launch", *words)
    assert done.returncode == 125
    assert done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def test_no_static_init(trees: Trees) -> None:
    hidden = ("/usr/bin/catatonit", "/usr/bin/tini-static", "/usr/bin/docker-init")
    script = "mount -t tmpfs none /usr/libexec; " + "".join(
        f"test ! -e {path} || mount --bind /dev/null {path}; " for path in hidden
    )
    done = trees.apart(script + '"$@"', "launch", "base", "--", "true")
    assert done.returncode == 125
    assert "apt install tini" in done.stderr and "catatonit" in done.stderr


def test_a_sealed_tree_runs_on_a_copy_and_says_so(trees: Trees) -> None:
    done = trees.run("launch", "base", "--", "touch", "/new")
    assert (done.returncode, done.stderr) == (0, "base is sealed: running on a throw-away copy\n")
    assert trees.sh("ls /new 2>&1; true") == "ls: /new: No such file or directory\n"
    assert not os.listdir(f"{trees.store.path}/staging")


def test_a_writable_tree_keeps_what_is_written(trees: Trees, tree: str) -> None:
    trees.sh("echo kept > /file", tree=tree)
    trees.sh("echo lost > /file; echo lost > /other", "--ephemeral", tree=tree)
    assert trees.sh("cat /file; ls /other 2>/dev/null; true", tree=tree) == "kept\n"


def test_a_writable_tree_runs_once(trees: Trees, tree: str) -> None:
    with trees.start("launch", tree, "--", "sh", "-c", "echo up; cat", stdin=subprocess.PIPE) as first:
        assert first.stdout and first.stdout.readline() == b"up\n"
        second = trees.run("launch", tree, "--", "true")
        assert second.returncode == 125 and "in use" in second.stderr
        first.communicate()
    assert first.returncode == 0
    assert trees.run("launch", tree, "--", "true").returncode == 0


def test_sealed_trees_run_side_by_side(trees: Trees) -> None:
    running = [trees.start("launch", "base", "--", "sh", "-c", "echo $$; cat", stdin=subprocess.PIPE) for _ in range(8)]
    for one in running:
        assert one.stdout and one.stdout.readline()
    for one in running:
        one.communicate()
        assert one.returncode == 0


def test_thirty_megabytes_both_ways(trees: Trees) -> None:
    data = os.urandom(1 << 20) * 30
    done = subprocess.run(
        trees.argv("launch", "--quiet", "base", "--", "cat"), input=data, env=trees.environment,
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
    assert not done.stderr


def test_stdout_and_stderr_are_apart(trees: Trees) -> None:
    done = trees.run("launch", "--quiet", "base", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_what_nobody_reads_holds_up_nothing_else(trees: Trees) -> None:
    """stdout is full and nobody reads it; stderr still comes through, and so does a signal."""
    script = "(while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done) & sleep 0.5; echo through >&2; wait; sleep 1000"
    with trees.start("launch", "--quiet", "base", "--", "sh", "-c", script, stderr=subprocess.PIPE) as process:
        assert process.stderr and process.stderr.readline() == b"through\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout
        process.stdout.close()
        assert process.wait(PATIENCE) == 143


def test_a_reader_that_goes_away(trees: Trees) -> None:
    with trees.start("launch", "--quiet", "base", "--", "yes") as process:
        assert process.stdout and process.stdout.read(2) == b"y\n"
        process.stdout.close()
        assert process.wait(PATIENCE) == 128 + signal.SIGPIPE


@pytest.mark.parametrize("closing", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors(trees: Trees, tree: str, closing: str) -> None:
    command = " ".join(trees.argv("launch", tree, "--", "sh", "-c", "'echo a; echo b >&2; cat; echo end > /ended'"))
    done = subprocess.run(["sh", "-c", f"{command} {closing}"], env=trees.environment, capture_output=True, check=False)
    assert done.returncode == 0
    assert trees.sh("cat /ended", tree=tree) == "end\n"


def test_a_full_disk_is_told(trees: Trees) -> None:
    with open("/dev/full", "w") as full:
        process = trees.start("launch", "--quiet", "base", "--", "yes", stdout=full, stderr=subprocess.PIPE)
        _, said = process.communicate(timeout=PATIENCE)
    assert b"No space left" in said
    assert process.returncode == 128 + signal.SIGPIPE


def test_output_that_comes_last_is_not_lost(trees: Trees) -> None:
    for _ in range(20):
        assert len(trees.sh("seq 1 5000").splitlines()) == 5000


def test_stdout_can_be_opened_anew(trees: Trees) -> None:
    script = "echo a > /dev/stdout; echo b > /dev/stderr; echo c > /proc/self/fd/1; cat /dev/stdin"
    for user in ("root", "me", "4000:4000"):
        done = trees.run("launch", "-q", "base", "--user", user, "--", "sh", "-c", script, input="d\n")
        assert (done.returncode, done.stdout, done.stderr) == (0, "a\nc\nd\n", "b\n")


def test_the_other_init(trees: Trees) -> None:
    """catatonit, where it is all there is."""
    script = "".join(f"mount --bind /dev/null {path}; " for path in ("/usr/bin/tini-static",))
    done = trees.apart(script + '"$@"', "launch", "-q", "base", "--", "sh", "-c", "echo yes; kill -9 $$")
    assert (done.returncode, done.stdout) == (137, "yes\n")
