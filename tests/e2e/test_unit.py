"""A tree as a service. The unit is checked by systemd's own reader, the init script by using it."""

import os
import shlex
import socket
import subprocess
from pathlib import Path

import pytest
from launching import PATIENCE, Trees, wait_for

from treesmith import service
from treesmith.sandbox.limits import Limits

HOSTILE = ["a b", "$HOME", "100%", 'say "hi"', "back\\slash", "it's", ";", ""]


def keys(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_a_unit(trees: Trees, tree: str, tmp_path: Path) -> None:
    done = trees.run("unit", tree, "--memory", "64M", "--cpus", "1.5", "--pids", "50", "--bind", "/etc:/mnt/a b:ro")
    unit = keys(done.stdout)
    assert (unit["Type"], unit["Delegate"], unit["KillMode"]) == ("notify", "yes", "mixed")
    assert (unit["MemoryMax"], unit["CPUQuota"], unit["TasksMax"]) == (str(64 << 20), "150%", "50")
    assert "--memory" not in unit["ExecStart"] and unit["ExecStart"].endswith(f'--bind "/etc:/mnt/a b:ro" {tree}')
    file = tmp_path / f"{tree}.service"
    file.write_text(done.stdout)
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True, check=False
    )
    about = [line for line in checked.stderr.splitlines() if file.name in line]
    assert not about, about


@pytest.mark.parametrize("words", [("--isolation", "chroot", "--user", "me"), ("--private-users", "no")])
def test_a_unit_shuts_in_as_asked(trees: Trees, words: tuple[str, ...]) -> None:
    unit = keys(trees.run("unit", "base", *words).stdout)
    asked = shlex.split(unit["ExecStart"])
    assert all(f"{name} {value}" in " ".join(asked) for name, value in zip(words[::2], words[1::2], strict=True))
    assert trees.run("unit", "base", *words, "--boot").returncode == 2


def test_a_unit_mounts_what_was_meant(trees: Trees, tmp_path: Path) -> None:
    """Paths are of where the unit was made, not of where the service stands."""
    (tmp_path / "data").mkdir()
    words = ("unit", "base", "--bind", "data:/a", "--overlay", "data:/b")
    argv, here = trees.argv(*words), trees.environment
    unit = keys(subprocess.check_output(argv, env=here, cwd=tmp_path, text=True))
    assert f"--bind {tmp_path}/data:/a" in unit["ExecStart"] and f"--overlay {tmp_path}/data:/b" in unit["ExecStart"]


def test_words_reach_the_command_as_they_are() -> None:
    """systemd's quoting undone: what it would execute."""
    text = service.systemd("t", "/a store", ["treesmith"], [f"--setenv=X={word}" for word in HOSTILE], Limits())
    line = keys(text.replace("ExecStart=", "ExecStart =").replace("ExecStart =", "ExecStart="))["ExecStart"]
    words = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line)]
    assert words == [
        "treesmith",
        "--store",
        "/a store",
        "launch",
        "--quiet",
        *[f"--setenv=X={w}" for w in HOSTILE],
        "t",
    ]


def test_who_started_it_is_told_when_it_runs(trees: Trees, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(PATIENCE)
        trees.environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        try:
            with trees.start("launch", "-q", "--name", "told", "base", "--", "sleep", "100") as process:
                assert heard.recv(100) == b"READY=1"
                trees.run("stop", "told")
                assert process.wait(PATIENCE) == 143
        finally:
            del trees.environment["NOTIFY_SOCKET"]


def test_an_init_script(trees: Trees, tree: str, tmp_path: Path) -> None:
    trees.store.update(trees.store.find(tree), launch={"command": ["/bin/sleep", "1000"]})
    script = tmp_path / "script"
    script.write_text(trees.run("unit", "--sysv", "--pids", "20", tree).stdout)

    def call(word: str) -> int:
        return subprocess.run(["sh", script, word], env=trees.environment, check=False, capture_output=True).returncode

    assert call("status") == 3
    assert call("stop") == 0
    assert call("start") == 0
    assert call("status") == 0
    assert call("start") == 0  # again is harmless
    assert trees.run("enter", tree, "--", "cat", "/proc/1/comm").returncode == 0
    assert call("restart") == 0
    assert call("status") == 0
    assert call("stop") == 0
    assert call("status") == 3
    assert call("nonsense") == 2
    wait_for("its end", lambda: not os.path.exists(f"/run/treesmith/containers/{trees.store.find(tree).id}"))


@pytest.mark.parametrize(
    "words", [("unit", "nothing"), ("unit", "base", "--network", "moon"), ("unit", "base", "--pids", "x")]
)
def test_refused(trees: Trees, words: tuple[str, ...]) -> None:
    assert trees.run(*words).returncode in (1, 2)
