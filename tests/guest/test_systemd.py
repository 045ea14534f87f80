"""On a machine that systemd runs, with all of its cgroups in cgroup2: limits, units, machined."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import roots
from launching import SOURCE, Trees, wait_for
from plain import Plain

pytestmark = pytest.mark.skipif(
    not os.path.isdir("/run/systemd/system"), reason="systemd does not run this machine: see tests/guest/systemd"
)
EAT = "dd if=/dev/zero of=/dev/null bs=80M count=1 2>/dev/null; echo $?"
UNITS = Path("/run/systemd/system")


def sh(*words: str, status: int | None = 0) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert status is None or done.returncode == status, (words, done.stdout, done.stderr)
    return done.stdout.strip()


def outside(trees: Trees, *words: str) -> str:
    """treesmith where the services are: our own /run/treesmith is another (see ground)."""
    argv = ["nsenter", "--target", "1", "--mount", *trees.argv(*words)]
    done = subprocess.run(argv, env=trees.environment, text=True, capture_output=True, check=False)
    assert not done.returncode, (words, done.stdout, done.stderr)
    return done.stdout


def listed(trees: Trees) -> list[dict[str, int]]:
    found: list[dict[str, int]] = json.loads(outside(trees, "ps", "--json"))["containers"]
    return found


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    folder = tmp_path_factory.mktemp("trees")
    trees = Trees(folder)
    root = roots.busybox(folder / "booted")
    (root / "sbin").mkdir()
    (root / "sbin/init").symlink_to("/bin/busybox")
    (root / "etc/inittab").write_text("::sysinit:/bin/touch /run/up\n")
    trees.add("booted", root, sealed=True)
    return trees


@pytest.fixture
def service(trees: Trees) -> Iterator[str]:
    """A tree whose unit is installed."""
    tree = trees.store.snapshot(trees.store.find("base"), "box")
    trees.store.update(tree, launch={"command": ["/bin/sleep", "100000"]})
    text = trees.run("unit", "box", "--memory", "64M", "--pids", "40").stdout
    UNITS.joinpath("box.service").write_text(text.replace("[Service]", f"[Service]\nEnvironment=PYTHONPATH={SOURCE}"))
    sh("systemctl", "daemon-reload")
    yield "box.service"
    sh("systemctl", "stop", "box.service", status=None)
    UNITS.joinpath("box.service").unlink()
    sh("systemctl", "daemon-reload")
    trees.store.remove([trees.store.find("box")])


def test_limits_without_root_in_a_cgroup_that_was_delegated(tmp_path_factory: pytest.TempPathFactory) -> None:
    me = Plain()
    try:
        me.add("base", roots.busybox(tmp_path_factory.mktemp("plain") / "root"))
        give = "cd /sys/fs/cgroup/$(cut -d: -f3 /proc/self/cgroup)"
        give += f'; chown {me.id}:{me.id} . cgroup.procs cgroup.subtree_control cgroup.threads; cd /; exec "$@"'
        scope = ("systemd-run", "--quiet", "--scope", "-p", "Delegate=yes", "sh", "-ec", give, "sh")
        launch = me.argv("launch", "-q", "--memory", "32M", "--pids", "20", "base", "--", "sh", "-c", EAT)
        assert sh(*scope, *launch) == "137"
        assert sh(*scope, *me.argv("launch", "-q", "--cpus", "0.5", "base", "--", "echo", "limited")) == "limited"
    finally:
        me.close()


def test_limits_get_a_scope_of_their_own(trees: Trees) -> None:
    assert trees.sh(EAT, "--memory", "32M") == "137\n"
    with trees.start("launch", "-q", "--memory", "32M", "--name", "scoped", "base", "--", "sleep", "100"):
        wait_for("its start", lambda: trees.run("enter", "scoped", "--", "true").returncode == 0)
        (record,) = json.loads(trees.run("ps", "--json").stdout)["containers"]
        path = Path(f"/proc/{record['pid']}/cgroup").read_text().strip().removeprefix("0::/")
        scope = path.split("/")[-2]
        assert scope.startswith("treesmith-scoped-") and scope.endswith(".scope"), path
        assert sh("systemctl", "show", "-PDelegate", scope) == "yes"
        assert Path("/sys/fs/cgroup", path, "memory.max").read_text() == f"{32 << 20}\n"
        trees.run("stop", "--signal", "KILL", "scoped")
    wait_for("the scope to go", lambda: sh("systemctl", "is-active", scope, status=None) != "active")


def test_a_unit_starts_restarts_and_stops_it(trees: Trees, service: str) -> None:
    sh("systemctl", "start", service)  # returns when it is ready
    assert outside(trees, "enter", "box", "--", "echo", "in") == "in\n"
    (record,) = listed(trees)
    folder = Path("/sys/fs/cgroup/system.slice", service)
    assert Path(f"/proc/{record['pid']}/cgroup").read_text().startswith(f"0::/system.slice/{service}/")
    assert (folder / "memory.max").read_text() == f"{64 << 20}\n"
    assert (folder / "pids.max").read_text() == "40\n"

    os.kill(record["pid"], 9)
    wait_for("the restart", lambda: sh("systemctl", "show", "-PNRestarts", service) == "1")
    wait_for("it to run", lambda: sh("systemctl", "is-active", service, status=None) == "active" and listed(trees))

    sh("systemctl", "stop", service)
    assert sh("systemctl", "show", "-PResult", service) == "success"
    assert listed(trees) == []


def test_it_can_be_enabled(service: str) -> None:
    sh("systemctl", "enable", "--runtime", service)
    wants = Path("/run/systemd/system/multi-user.target.wants", service)
    assert wants.is_symlink()
    sh("systemctl", "disable", "--runtime", service)
    assert not wants.is_symlink()


def test_a_limit_of_the_trees_own_within_a_unit(trees: Trees, service: str) -> None:
    """The unit's cgroup is delegated: the supervisor makes room in it."""
    trees.store.update(trees.store.find("box"), launch={"command": ["/bin/sleep", "100000"], "pids": 10})
    sh("systemctl", "start", service)
    (record,) = listed(trees)
    path = Path(f"/proc/{record['pid']}/cgroup").read_text().strip().removeprefix("0::/")
    assert Path("/sys/fs/cgroup", path, "pids.max").read_text() == "10\n"
    assert Path("/sys/fs/cgroup/system.slice", service, "supervisor/cgroup.procs").read_text()


def test_machined_knows_what_is_booted(trees: Trees) -> None:
    trees.run("launch", "-q", "-d", "--boot", "--name", "machine", "booted")
    try:
        wait_for("machined", lambda: "machine" in sh("machinectl", "list", "--no-legend"))
        (record,) = json.loads(trees.run("ps", "--json").stdout)["containers"]
        assert sh("machinectl", "show", "-pLeader", "--value", "machine") == str(record["pid"])
        assert sh("machinectl", "show", "-pService", "--value", "machine") == "treesmith"
    finally:
        trees.run("stop", "machine")
    wait_for("it to be forgotten", lambda: "machine" not in sh("machinectl", "list", "--no-legend"))
