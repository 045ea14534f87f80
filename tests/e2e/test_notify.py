"""A command, or an init, that says itself when it is ready."""

import subprocess
from pathlib import Path

import pytest
import roots
from launching import Trees, wait_for

MANY = 50  # messages, and so more than a socket holds: net.unix.max_dgram_qlen is 10


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    folder = tmp_path_factory.mktemp("trees")
    trees = Trees(folder)
    root = roots.busybox(folder / "tells")
    source = Path(__file__).parent / "tell.c"
    subprocess.run(["gcc", "-static", "-O", "-Wall", "-Werror", "-o", root / "bin/tell", source], check=True)
    (root / "sbin").mkdir()
    words = " ".join(["STATUS=x"] * MANY)
    # By its name it is taken for systemd. Its child's word is not its own; but what it executes is still itself.
    (root / "sbin/systemd").write_text(
        "#!/bin/sh\ntell READY=1; sleep 0.5; echo waited\n"
        f"exec tell READY=1 {words} -- sh -c 'echo up; trap \"poweroff -f\" USR2; while :; do sleep 0.02; done'\n"
    )
    (root / "sbin/systemd").chmod(0o755)
    (root / "sbin/init").symlink_to("systemd")
    trees.add("tells", root, sealed=True)
    return trees


@pytest.mark.parametrize("user", ["root", "me"])
def test_a_command_is_running_when_it_says_so(trees: Trees, user: str) -> None:
    script = f"sleep 0.3; echo here; tell STATUS=starting READY=1; for i in $(seq {MANY}); do tell STATUS=$i; done; "
    script += "echo done; sleep 100"
    trees.run("launch", "-q", "-d", "--notify", "--user", user, "--name", "told", "tells", "--", "sh", "-c", script)
    try:
        assert trees.run("logs", "told").stdout.startswith("here\n")
        wait_for("all messages to be taken", lambda: trees.run("logs", "told").stdout == "here\ndone\n")
        assert trees.run("enter", "told", "--", "tell", "READY=1").returncode == 2  # nobody listens to others
    finally:
        assert not trees.run("stop", "told").stderr


def test_one_that_ends_without_a_word(trees: Trees) -> None:
    done = trees.run("launch", "-q", "-d", "--notify", "--name", "mute", "tells", "--", "sh", "-c", "exit 3")
    assert done.returncode == 125 and "mute ended before it was ready" in done.stderr and "status 3" in done.stderr


def test_a_recipe_may_say_so(trees: Trees) -> None:
    tree = trees.store.snapshot(trees.store.find("tells"), "wants")
    trees.store.update(tree, launch={"notify": True, "command": ["sh", "-c", "sleep 0.3; echo up; exec tell READY=1"]})
    done = trees.run("launch", "-q", "-d", "wants")
    assert done.stdout == "wants\n" and trees.run("logs", "wants").stdout == "up\n"
    assert trees.run("launch", "-q", "wants", "--", "sh", "-c", "echo ${NOTIFY_SOCKET-none}").stdout == "none\n"
    wait_for("its end", lambda: not trees.store.in_use(tree.id))
    trees.store.remove([trees.store.find("wants")])


def test_what_a_system_goes_on_to_say_does_not_hold_it_up(trees: Trees) -> None:
    """systemd 257 tells of its way down, too."""
    trees.run("launch", "-q", "-d", "--boot", "--name", "system", "tells")
    assert trees.run("logs", "system").stdout.startswith("waited")
    wait_for("all messages to be taken", lambda: "up" in trees.run("logs", "system").stdout)
    assert not trees.run("stop", "--signal", "USR2", "system").stderr
    assert trees.run("wait", "system").stdout == "0\n"
