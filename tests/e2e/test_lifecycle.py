"""What runs, seen and ended by somebody else: ps, stop, wait, freeze, thaw."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import leaks
import pytest
from launching import PATIENCE, Trees, wait_for

from treesmith.launch import containers
from treesmith.store import locks


def up(trees: Trees, name: str, script: str, *options: str, tree: str = "base") -> subprocess.Popen[bytes]:
    """A container whose script has begun."""
    words = ("launch", "-q", tree, "--name", name, *options, "--", "sh", "-c", f"echo up; {script}")
    process = trees.start(*words)
    assert process.stdout and process.stdout.readline() == b"up\n"
    return process


def listed(trees: Trees, *options: str) -> list[dict[str, Any]]:
    return json.loads(trees.run("ps", "--json", *options).stdout)["containers"]


def test_ps_of_nothing(trees: Trees) -> None:
    assert listed(trees) == []
    assert trees.run("ps").stdout.split() == ["NAME", "TREE", "PID", "SINCE", "STATE", "COMMAND"]


def test_ps_of_twenty(trees: Trees) -> None:
    running = [up(trees, f"number{number}", "exec sleep 1000") for number in range(20)]
    found = listed(trees, "--usage")
    assert sorted(one["name"] for one in found) == sorted(f"number{number}" for number in range(20))
    for one in found:
        assert (one["tree"], one["state"], one["command"][0]) == ("base", "running", "sh")
        assert one["processes"] == 2 and one["cpu"] > 0
        assert abs(one["started"] - time.time()) < 100
        assert os.stat(f"/proc/{one['pid']}").st_uid >= 524288
    lines = trees.run("ps").stdout.splitlines()
    assert len(lines) == 21 and all(" running " in line for line in lines[1:])
    for one in running[:19]:
        one.terminate()
    for one in running[:19]:
        one.communicate(timeout=PATIENCE)
    assert [one["name"] for one in listed(trees)] == ["number19"]
    assert trees.run("stop", "number19").returncode == 0
    running[19].communicate(timeout=PATIENCE)


def test_a_container_of_another_store_is_not_listed(trees: Trees, tmp_path: Path) -> None:
    other = Trees(tmp_path)
    with up(trees, "here", "exec sleep 1000") as process:
        assert listed(other) == []
        assert other.run("stop", "here").returncode == 1
        process.terminate()
        process.communicate(timeout=PATIENCE)


def test_found_by_its_tree_if_that_runs_once(trees: Trees) -> None:
    first = up(trees, "one", "exec sleep 1000")
    with up(trees, "two", "exec sleep 1000") as second:
        done = trees.run("stop", "base")
        assert done.returncode == 1 and "as one, two" in done.stderr
        assert trees.run("stop", "one").returncode == 0
        assert first.wait(PATIENCE) == 143
        assert trees.run("stop", "base").returncode == 0
        assert second.wait(PATIENCE) == 143
    first.communicate()


@pytest.mark.parametrize("verb", ["stop", "wait", "freeze", "thaw"])
def test_of_what_does_not_run(trees: Trees, verb: str) -> None:
    done = trees.run(verb, "nothing")
    assert done.returncode == 1 and "no container nothing is" in done.stderr


def test_names_are_unique_even_in_a_race(trees: Trees) -> None:
    running = [
        trees.start("launch", "-q", "base", "--name", "same", "--", "sh", "-c", "echo up; exec sleep 1000",
                    stderr=subprocess.PIPE)
        for _ in range(6)
    ]  # fmt: skip
    wait_for("five losers", lambda: sum(one.poll() is not None for one in running) == 5)
    assert len(listed(trees)) == 1
    for one in running:
        if one.returncode is None:
            one.terminate()
        said = one.communicate(timeout=PATIENCE)[1]
        assert one.returncode in (125, 143), said


def test_a_name_is_a_name(trees: Trees) -> None:
    done = trees.run("launch", "base", "--name", "../x", "--", "true")
    assert done.returncode == 125 and "cannot name a container" in done.stderr


def test_stop_asks_and_the_tree_is_free_at_once(trees: Trees, tree: str) -> None:
    script = "trap 'echo asked > /asked; exit 5' TERM; while :; do sleep 0.01; done"
    for _ in range(5):
        with up(trees, "polite", script, tree=tree) as process:
            done = trees.run("stop", "polite")
            assert (done.returncode, done.stderr) == (0, "")
            assert trees.sh("cat /asked; rm /asked", tree=tree) == "asked\n"
            assert process.wait(PATIENCE) == 5


def test_stop_insists(trees: Trees) -> None:
    with up(trees, "deaf", "trap '' TERM INT; while :; do sleep 1; done") as process:
        done = trees.run("stop", "deaf", "--timeout", "1")
        assert done.returncode == 0 and "did not end within 1 s: killed" in done.stderr
        assert process.wait(PATIENCE) == 137


@pytest.mark.parametrize("name", ["USR1", "SIGUSR1", "10"])
def test_stop_with_another_signal(trees: Trees, name: str) -> None:
    with up(trees, "special", "trap 'exit 9' USR1; while :; do sleep 0.01; done") as process:
        assert trees.run("stop", "special", "--signal", name).returncode == 0
        assert process.wait(PATIENCE) == 9


def test_stop_with_no_signal_at_all(trees: Trees) -> None:
    with up(trees, "special", "exec sleep 1000") as process:
        done = trees.run("stop", "special", "--signal", "NOPE")
        assert done.returncode == 2 and "there is no signal NOPE" in done.stderr
        assert trees.run("stop", "special", "--signal", "KILL").returncode == 0
        assert process.wait(PATIENCE) == 137


def test_the_trees_own_stop_signal(trees: Trees, tree: str) -> None:
    trees.store.update(trees.store.find(tree), launch={"stop-signal": "SIGUSR2"})
    with up(trees, "own", "trap 'exit 8' USR2; while :; do sleep 0.01; done", tree=tree) as process:
        assert trees.run("stop", "own").returncode == 0
        assert process.wait(PATIENCE) == 8


def test_stop_of_what_forks_all_the_time(trees: Trees) -> None:
    """Every process is replaced by another one before anybody could list them."""
    script = "trap '' TERM; f() { (f) & exec true; }; f & f & f & while :; do sleep 1; done"
    before = leaks.state()
    with up(trees, "forks", script) as process:
        assert trees.run("stop", "forks", "--timeout", "0").returncode == 0
        assert process.wait(PATIENCE) == 137
    assert not leaks.since(before)


def test_wait_prints_the_status(trees: Trees) -> None:
    with up(trees, "brief", "read -r x < /fifo; exit 7", tree=piped(trees)) as process:
        waiting = [trees.start("wait", "brief") for _ in range(3)]
        wait_for("them to wait", lambda: all(watches(one.pid) for one in waiting))
        assert all(one.poll() is None for one in waiting)
        process.send_signal(signal.SIGUSR1)
        assert process.wait(PATIENCE) == 128 + signal.SIGUSR1
        for one in waiting:
            assert one.communicate(timeout=PATIENCE)[0] == b"%d\n" % (128 + signal.SIGUSR1)
            assert one.returncode == 0


def watches(pid: int) -> bool:
    """Whether it waits for a lock, a container's record: proc_locks(5)."""
    return re.search(rf"-> FLOCK .* {pid} ", Path("/proc/locks").read_text()) is not None


def piped(trees: Trees) -> str:
    """The name of a tree with a FIFO that nobody writes to."""
    if "piped" not in trees.store.names():
        trees.store.snapshot(trees.store.find("base"), "piped")
        trees.sh("mkfifo /fifo", tree="piped")
    return "piped"


def test_wait_when_the_supervisor_is_killed(trees: Trees) -> None:
    with up(trees, "orphan", "exec sleep 1000") as process:
        waiting = trees.start("wait", "orphan", stderr=subprocess.PIPE)
        time.sleep(0.3)
        process.kill()
        said = waiting.communicate(timeout=PATIENCE)[1]
        assert waiting.returncode == 1 and b"its supervisor was killed" in said
    assert listed(trees) == []
    trees.sh("true")  # clears what is left


def count(path: Path) -> int:
    return len(path.read_bytes())


def test_frozen_it_does_not_count_on(trees: Trees, tmp_path: Path) -> None:
    counter = tmp_path / "count"
    counter.touch()
    os.chmod(counter, 0o666)
    script = "while :; do printf x >> /count; sleep 0.002; done"
    with up(trees, "counts", script, "--bind", f"{counter}:/count") as process:
        wait_for("the counter", lambda: count(counter) > 5)
        for _ in range(3):
            assert trees.run("freeze", "counts").returncode == 0
            assert [one["state"] for one in listed(trees)] == ["frozen"]
            stood = count(counter)
            time.sleep(0.2)
            assert count(counter) == stood
            assert trees.run("thaw", "counts").returncode == 0
            assert [one["state"] for one in listed(trees)] == ["running"]
            wait_for("the counter", lambda stood=stood: count(counter) > stood)
        process.terminate()
        assert process.wait(PATIENCE) == 143


def test_stop_of_what_is_frozen(trees: Trees) -> None:
    for script, status in (("trap 'exit 4' TERM; while :; do sleep 0.01; done", 4), ("trap '' TERM; sleep 1000", 137)):
        with up(trees, "cold", script) as process:
            assert trees.run("freeze", "cold").returncode == 0
            assert trees.run("stop", "cold", "--timeout", "2").returncode == 0
            assert process.wait(PATIENCE) == status


def test_the_supervisor_of_what_is_frozen_is_killed(trees: Trees) -> None:
    before = leaks.state()
    with up(trees, "cold", "exec sleep 1000") as process:
        assert trees.run("freeze", "cold").returncode == 0
        process.kill()
    assert trees.sh("echo fine") == "fine\n"
    trees.store.recover()
    assert not leaks.since(before)


def test_a_snapshot_of_what_runs(trees: Trees, tree: str) -> None:
    with up(trees, tree, "touch /there; echo more; exec sleep 1000", tree=tree) as process:
        assert process.stdout and process.stdout.readline() == b"more\n"
        done = trees.run("snapshot", tree, "copied")
        said = f"copied is a writable copy of {tree}, which was frozen for "
        assert done.returncode == 0 and done.stderr.startswith(said) and done.stderr.endswith(" ms\n")
        assert trees.sh("ls /there", tree="copied") == "/there\n"
        assert [one["state"] for one in listed(trees)] == ["running"]
        assert trees.run("stop", tree).returncode == 0
        assert process.wait(PATIENCE) == 143
    assert trees.run("rm", "copied").returncode == 0


def test_who_ran_in_it_before_takes_a_moment_to_go(trees: Trees, tree: str) -> None:
    """The tree is let go of first, the record last: whoever comes between the two waits."""
    id = trees.store.find(tree).id
    record = {"version": containers.VERSION, "id": id, "name": tree, "store": trees.store.path, "started": 0}
    assert not trees.run("launch", "-q", tree, "--", "true").returncode
    lock = locks.attempt(f"{containers.RUN}/{id}", exclusive=True)
    assert lock
    os.write(lock.fileno(), json.dumps(record).encode())
    with trees.start("launch", "-q", tree, "--", "true") as process:
        time.sleep(0.3)
        assert process.poll() is None
        lock.remove()
        assert process.wait(PATIENCE) == 0
