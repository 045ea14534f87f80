"""The inits of real distributions, unmodified, in trees that treesmith built."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import filesystems
import pytest
from command import environment, on
from launching import SOURCE, Terminal, wait_for

from treesmith.steps.network import outfit
from treesmith.store import create_store

pytestmark = [pytest.mark.online, pytest.mark.slow, pytest.mark.timeout(1200)]
OLD = ("sysvinit-core", "initscripts", "cron", "rsyslog", "orphan-sysvinit-scripts")
NEEDED = '"python3-typer", "python3-rich", "tini", "busybox-static"'
# A tree with a web server, made by the treesmith that is bound into a system, and what makes a service of it.
SERVED = """
    printf '#!/bin/sh\\nPYTHONPATH=/opt exec python3 -m treesmith "$@"\\n' >/usr/local/bin/treesmith
    chmod 755 /usr/local/bin/treesmith
    mkdir -p /root/www/bin; cp /bin/busybox /root/www/bin; echo served >/root/www/index.html
    tar -C /root/www -cf /root/www.tar .
    echo '[[step]]
    tar = { file = "www.tar" }
    [launch]
    command = ["/bin/busybox", "httpd", "-f", "-p", "8080"]' >/root/www.toml
    treesmith build -q /root/www.toml
    treesmith snapshot -q www web
"""
GET = ("busybox", "wget", "-qO-", "http://127.0.0.1:8080/")
BOOTS = int(os.environ.get("TREESMITH_BOOTS", "5"))
Treesmith = Callable[..., str]


def command(store: Path) -> Treesmith:
    run = on(store)
    passed = {name: os.environ[name] for name in outfit(os.environ).env if name in os.environ}
    return lambda *words, status=0: run(*words, status=status, **passed).stdout


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("online") / "store"


@pytest.fixture(scope="module")
def online(store: Path) -> Treesmith:
    """The command on a store that these tests share, with debian-init built in it."""
    treesmith = command(store)
    treesmith("build", "debian-init")
    return treesmith


@pytest.fixture(scope="module")
def elsewhere(online: Treesmith, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], Treesmith]:
    """`elsewhere(backend, folder)`: the same tree in another store."""
    kept = tmp_path_factory.mktemp("kept") / "root.tar"
    mounted = online("mount", "debian-init").strip()
    subprocess.run(["tar", "-C", mounted, "--xattrs", "-cf", kept, "."], check=True)
    online("umount", "debian-init")

    def make(backend: str, folder: Path) -> Treesmith:
        create_store(str(folder / "store"), backend)
        recipe = folder / "booted.toml"
        recipe.write_text('[[step]]\ntar = { file = "root.tar" }\n[launch]\nboot = true\n')
        shutil.copy(kept, folder / "root.tar")
        treesmith = command(folder / "store")
        treesmith("build", str(recipe))
        return treesmith

    return make


def check_systemd(treesmith: Treesmith, tree: str) -> None:
    """It is up when the launch returns, nothing failed, and it ends by itself within 5 s."""
    name = treesmith("launch", "-q", "-d", tree).strip()
    try:
        assert treesmith("enter", name, "--", "systemctl", "is-system-running").strip() == "running"
        services = treesmith("enter", name, "--", "systemctl", "is-active", "cron", "rsyslog", "dbus").split()
        assert services == ["active"] * 3
        treesmith("enter", name, "--", "logger", "here I am")
        wait_for("syslog", lambda: "here I am" in treesmith("enter", name, "--", "cat", "/var/log/syslog"))
    finally:
        said = treesmith("stop", "--timeout", "5", name)
    assert "killed" not in said
    assert treesmith("wait", name) == "0\n"


def test_systemd_on_overlay(online: Treesmith) -> None:
    check_systemd(online, "debian-init")
    online("snapshot", "debian-init", "mine")
    check_systemd(online, "mine")
    check_systemd(online, "mine")


def test_systemd_on_copy(elsewhere: Callable[[str, Path], Treesmith], tmp_path: Path) -> None:
    treesmith = elsewhere("copy", tmp_path)
    treesmith("snapshot", "booted", "mine")
    check_systemd(treesmith, "mine")


def test_systemd_on_btrfs(elsewhere: Callable[[str, Path], Treesmith], tmp_path: Path) -> None:
    with filesystems.btrfs(tmp_path, 1024 * filesystems.MIB) as folder:
        treesmith = elsewhere("btrfs", folder)
        treesmith("snapshot", "booted", "mine")
        check_systemd(treesmith, "mine")
        treesmith("rm", "mine")


def test_systemd_of_trixie(online: Treesmith) -> None:
    online("build", "debian-init", "--set", "suite=trixie", "--name", "trixie")
    check_systemd(online, "trixie")


def inside(treesmith: Treesmith, name: str, *words: str) -> str:
    return treesmith("enter", name, "--", "env", "LC_ALL=C.UTF-8", *words)


def test_a_tree_is_a_service_of_what_runs_in_a_tree(online: Treesmith, tmp_path: Path) -> None:
    """systemd starts it at the next boot, keeps it, and ends it, and it is a container in a container."""
    path = tmp_path / "serving.toml"
    path.write_text(f'from = "debian-init"\n[[step]]\napt = [{NEEDED}]\n')
    online("build", str(path))
    online("snapshot", "serving", "server")
    launch = ("launch", "-q", "-d", "--bind", f"{SOURCE}:/opt:ro", "server")
    unit = "treesmith unit web --private-users no --network host >/etc/systemd/system/web.service"
    try:
        online(*launch)
        inside(online, "server", "sh", "-ec", f"{SERVED}\n{unit}\nsystemctl enable web")
        assert "killed" not in online("stop", "--timeout", "5", "server")
        online(*launch)
        assert inside(online, "server", "systemctl", "is-active", "web") == "active\n"
        assert inside(online, "server", *GET) == "served\n"
        assert "\nweb " in inside(online, "server", "treesmith", "ps")
        inside(online, "server", "systemctl", "kill", "--signal=KILL", "web")
        again = ("systemctl", "show", "-PNRestarts", "-PActiveState", "web")
        wait_for("it to be started again", lambda: inside(online, "server", *again).split() == ["1", "active"])
        assert inside(online, "server", *GET) == "served\n"
        inside(online, "server", "systemctl", "stop", "web")
        assert inside(online, "server", "systemctl", "show", "-PResult", "web") == "success\n"
    finally:
        online("stop", "--timeout", "5", "server")


def test_its_journal_is_linked(online: Treesmith) -> None:
    """The host's own journalctl reads it while the system runs, and afterwards."""
    subprocess.run(["mount", "-t", "tmpfs", "journals", "/var/log/journal"], check=True)
    try:
        online("snapshot", "debian-init", "journaled")
        online("launch", "-q", "-d", "--link-journal", "journaled")
        (machine,) = os.listdir("/var/log/journal")
        assert online("enter", "journaled", "--", "cat", "/etc/machine-id") == f"{machine}\n"
        read = ("journalctl", "-q", "-D", f"/var/log/journal/{machine}", "-o", "cat")
        online("enter", "journaled", "--", "logger", "here I am")
        wait_for("the line", lambda: "here I am" in subprocess.check_output(read, text=True))
        online("stop", "journaled")
        assert "Journal stopped" in subprocess.check_output(read, text=True)
        online("rm", "journaled")
    finally:
        subprocess.run(["umount", "/var/log/journal"], check=True)


def test_its_console_and_its_power(online: Treesmith, store: Path, tmp_path: Path) -> None:
    """A person logs in on the console, reboots, logs in again and turns it off."""
    path = tmp_path / "open.toml"
    path.write_text('from = "debian-init"\n[[step]]\nrun = "passwd -d root"\n')
    online("build", str(path))
    argv = [sys.executable, "-m", "treesmith", "launch", "-q", "open"]
    with Terminal(argv, environment(store)) as terminal:
        for power in ("reboot", "poweroff"):
            terminal.expect("login:")
            terminal.type("root\r")
            terminal.expect("# ")
            terminal.type("tty; stty size\r")
            terminal.expect("/dev/console")
            terminal.expect("30 100")
            terminal.type(f"systemctl {power}\r")
        terminal.expect("Powering off.")
        assert terminal.end() == 0


def test_each_copy_is_another_machine(online: Treesmith) -> None:
    ids = set()
    for name in ("one", "two"):
        online("snapshot", "debian-init" if name == "one" else "one", name)
        online("launch", "-q", "-d", name)
        ids.add(online("enter", name, "--", "cat", "/etc/machine-id"))
        online("stop", name)
    assert len(ids) == 2 and all(re.fullmatch(r"[0-9a-f]{32}\n", id) for id in ids)


def test_many_boots_leave_nothing(online: Treesmith) -> None:
    """TREESMITH_BOOTS says how many. The fixture that looks for leaks is the other half of this test."""
    for _ in range(BOOTS):
        name = online("launch", "-q", "-d", "debian-init").strip()
        assert "killed" not in online("stop", "--timeout", "5", name)
        assert online("wait", name) == "0\n"
    assert not online("ps", "--quiet").count("debian-init")


@pytest.mark.parametrize("runs", ["sysv-rc", "openrc"])
def test_sysvinit(online: Treesmith, tmp_path: Path, runs: str) -> None:
    """`runs`: what starts and stops the services below it."""
    packages = ", ".join(f'"{name}"' for name in (*OLD, runs))
    path = tmp_path / f"{runs}.toml"
    path.write_text(f'from = "debian-base"\n[[step]]\napt = [{packages}]\n[launch]\nboot = true\n')
    online("build", str(path))
    name = online("launch", "-q", "-d", runs).strip()
    try:
        wait_for("cron", lambda: "cron" in online("enter", name, "--", "sh", "-c", "cat /proc/[0-9]*/comm || true"))
        assert online("enter", name, "--", "cat", "/proc/1/comm") == "init\n"
        if runs == "openrc":
            status = ("enter", name, "--", "rc-status", "default")
            wait_for("OpenRC", lambda: re.search(r"cron +\[ +started", online(*status)))
    finally:
        said = online("stop", "--timeout", "60", name)
    assert "killed" not in said
    assert online("wait", name) == "0\n"
    assert "Will now halt" in online("logs", name)


def test_a_tree_is_a_service_of_sysvinit(online: Treesmith, tmp_path: Path) -> None:
    """As above, where an init script starts it and nobody keeps it."""
    packages = ", ".join(f'"{name}"' for name in (*OLD, "sysv-rc"))
    path = tmp_path / "older.toml"
    path.write_text(f'from = "debian-base"\n[[step]]\napt = [{packages}, {NEEDED}]\n[launch]\nboot = true\n')
    online("build", str(path))
    online("snapshot", "older", "oldest")
    launch = ("launch", "-q", "-d", "--bind", f"{SOURCE}:/opt:ro", "oldest")
    unit = "treesmith unit web --sysv --private-users no --network host >/etc/init.d/web; chmod 755 /etc/init.d/web"
    get = ("enter", "oldest", "--", *GET)
    try:
        online(*launch)
        inside(online, "oldest", "sh", "-ec", f"{SERVED}\n{unit}\nupdate-rc.d web defaults")
        online("stop", "--timeout", "60", "oldest")
        online(*launch)
        wait_for("the server", lambda: "served" in online(*get, status=None))
        assert inside(online, "oldest", "service", "web", "status") == "web is running\n"
        inside(online, "oldest", "service", "web", "stop")
        assert "served" not in online(*get, status=None)
    finally:
        said = online("stop", "--timeout", "60", "oldest")
    assert "killed" not in said
