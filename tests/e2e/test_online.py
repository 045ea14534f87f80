"""The shipped recipes as they are, from Debian's mirror, PyPI and the npm registry, with the real command."""

import json
import os
import re
import time
from pathlib import Path

import pytest
from command import Command, on

from treesmith.steps.network import outfit

pytestmark = [pytest.mark.online, pytest.mark.slow, pytest.mark.timeout(1800)]

# Asks the application that it starts itself, so that no port of the host's is needed.
ALONE = ("launch", "-q", "--network", "none")  # not on the bridge of the tester's own host
ASK_PYTHON = """
import subprocess, sys, time, urllib.request
server = subprocess.Popen([sys.executable, "-m", "app"])
for _ in range(300):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8000/").read().decode())
        break
    except OSError:
        time.sleep(0.1)
server.terminate()
"""
ASK_NODE = """
require("./server.js");
fetch("http://127.0.0.1:8000/").then((answer) => answer.text()).then((text) => { console.log(text); process.exit(); });
"""
ASK_RUBY = """
require "net/http"
server = spawn("puma", "--bind", "tcp://127.0.0.1:8000", out: :err)
300.times do
  begin
    puts Net::HTTP.get(URI("http://127.0.0.1:8000/"))
    break
  rescue SystemCallError
    sleep 0.1
  end
end
Process.kill("TERM", server)
"""


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command on a store that these tests share, so that Debian is fetched once."""
    command = on(tmp_path_factory.mktemp("online") / "store")
    passed = {name: os.environ[name] for name in (*outfit(os.environ).env, "PIP_INDEX_URL") if name in os.environ}

    def treesmith(*words: str, **more: object) -> object:
        return command(*words, **{**passed, **more})

    return treesmith  # type: ignore[return-value]


def packages(online: Command, tree: str) -> set[str]:
    return set(online("launch", "-q", tree, "--", "dpkg-query", "-Wf", "${Package}\n").stdout.split())


def by(online: Command, folder: Path, driver: str) -> str:
    """The name of a tree made with this driver."""
    step = f'driver = "{driver}"\n[step.debootstrap]\nsuite = "bookworm"\ninclude = ["ca-certificates"]\n'
    path = folder / f"by-{driver}.toml"
    path.write_text(f"[[step]]\n{step}")
    online("build", "--replace", str(path))
    return path.stem


@pytest.mark.parametrize("driver", ["debootstrap", "mmdebstrap"])
def test_debian_by_either_driver(online: Command, tmp_path: Path, driver: str) -> None:
    tree = by(online, tmp_path, driver)
    release = online("launch", "-q", tree, "--", "cat", "/etc/os-release").stdout
    assert re.search(r"^VERSION_CODENAME=bookworm$", release, re.MULTILINE)
    assert {"apt", "bash", "ca-certificates", "coreutils", "passwd"} <= packages(online, tree)
    assert not online("launch", "-q", tree, "--", "dpkg", "--audit").stdout
    assert not online("launch", "-q", tree, "--", "ls", "-A", "/etc/apt/preferences.d").stdout


def test_the_drivers_agree(online: Command, tmp_path: Path) -> None:
    one, two = (packages(online, by(online, tmp_path, driver)) for driver in ("debootstrap", "mmdebstrap"))
    assert one == two


def test_debian_base_again_has_nothing_to_do(online: Command) -> None:
    online("build", "debian-base")
    done = online("build", "debian-base")
    assert "nothing to do" in done.stdout + done.stderr
    plan = online("build", "debian-base", "--dry-run").stdout
    assert re.search(r"keep.*unpinned, (less than a minute|\d+ (minutes?|hours?)) old", plan)


def test_python_app_answers(online: Command) -> None:
    online("build", "python-app")
    answer = online(*ALONE, "python-app", "--", "/srv/app/venv/bin/python", "-c", ASK_PYTHON).stdout
    assert "Hello from python-app" in answer
    shown = json.loads(online("show", "python-app", "--json").stdout)
    made = {step["kind"]: step["made"] for step in shown["tree"]["steps"]}
    pinned = dict(line.split("==") for line in Path("recipes/python-app/requirements.txt").read_text().split())
    installed = {name.lower(): version for name, version in made["pip"]["packages"].items()}
    assert pinned.items() <= installed.items()


def test_node_app_answers(online: Command) -> None:
    online("build", "node-app")
    assert "Hello from node-app" in online(*ALONE, "node-app", "--", "node", "-e", ASK_NODE).stdout


def test_ruby_app_answers(online: Command) -> None:
    online("build", "ruby-app")
    assert "Hello from ruby-app, visit 1" in online(*ALONE, "ruby-app", "--", "ruby", "-e", ASK_RUBY).stdout


def test_etc_is_kept(online: Command, tmp_path: Path) -> None:
    """With Debian's etckeeper as it is installed, hooks for apt included."""
    steps = ('apt = ["etckeeper", "git", "openssh-server"]', "etckeeper = {}", 'apt = ["nginx-light"]')
    path = tmp_path / "kept.toml"
    path.write_text('from = "debian-base"\n' + "".join(f"[[step]]\n{step}\n" for step in steps))
    online("build", str(path))
    commits = json.loads(online("history", "--etc", "--json", "kept").stdout)["commits"]
    assert [one["message"] for one in commits] == ["kept: step 3: apt", "kept: step 2: etckeeper"]
    kept = online("launch", "-q", "kept", "--", "git", "-C", "/etc", "log", "--all", "--stat").stdout
    assert "nginx/nginx.conf" in kept and "ssh/sshd_config" in kept and "ssh_host" not in kept


def started(online: Command, tree: str, *words: str) -> str:
    """The name of a container of the tree, alone in its network."""
    name = f"run-{tree}"
    online("launch", "-q", "--network", "none", "--detach", "--name", name, *words, tree)
    return name


def asked(online: Command, name: str, *words: str) -> str:
    """What a command inside says, as soon as it can."""
    for _ in range(300):
        done = online("enter", name, *words, status=None)
        if not done.returncode and done.stdout:
            return done.stdout
        time.sleep(0.1)
    raise AssertionError(done.stderr + online("logs", name).stdout)


GET = "exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"


def test_nginx_answers(online: Command, tmp_path: Path) -> None:
    online("build", "nginx")
    (tmp_path / "index.html").write_text("a page of the host's\n")
    tmp_path.chmod(0o755)
    name = started(online, "nginx", "--bind", f"{tmp_path}:/var/www/html:ro")
    answer = asked(online, name, "--", "bash", "-c", GET)
    assert "200 OK" in answer and answer.endswith("a page of the host's\n")
    assert "GET / HTTP/1.0" in online("logs", name).stdout
    online("stop", name)
    assert online("wait", name).stdout == "0\n"


def test_postgresql_answers_and_keeps_what_it_has(online: Command) -> None:
    online("build", "postgresql")
    online("snapshot", "postgresql", "database")
    psql = ("--user", "postgres", "--", "psql", "-qAtc")
    name = started(online, "database")
    assert asked(online, name, *psql, "SELECT 6 * 7") == "42\n"
    online("enter", name, *psql, "CREATE TABLE kept AS SELECT 'still here' AS said")
    shown = online("enter", name, "--user", "postgres", "--", "psql", "-qAtc", "SHOW listen_addresses").stdout
    refused = online(
        "enter", name, "--", "setpriv", "--reuid=33", "psql", "-h", "127.0.0.1", "-U", "postgres", status=2
    )
    assert shown == "*\n" and "no password supplied" in refused.stderr
    online("stop", name)
    assert online("wait", name).stdout == "0\n"
    name = started(online, "database")
    assert asked(online, name, *psql, "SELECT said FROM kept") == "still here\n"
    online("stop", name)
    assert "recovery" not in online("logs", name).stdout
    online("rm", "database")


def test_a_debian_package_is_built_cleanly(online: Command, tmp_path: Path) -> None:
    online("build", "debian-builder")
    source, result = tmp_path / "source", tmp_path / "result"
    (source / "debian").mkdir(parents=True)
    result.mkdir()
    (source / "hello.c").write_text('#include <stdio.h>\nint main(void) { return puts("hello from a package") < 0; }\n')
    (source / "debian/changelog").write_text(
        "greet (1.5) unstable; urgency=low\n\n  * New.\n\n -- A B <a@b.invalid>  Tue, 14 Nov 2023 22:13:20 +0000\n"
    )
    (source / "debian/control").write_text(
        "Source: greet\nMaintainer: A B <a@b.invalid>\nStandards-Version: 4.6.2\nRules-Requires-Root: no\n"
        "Build-Depends: gcc\n\nPackage: greet\nArchitecture: any\nDescription: greets\n"
    )
    (source / "debian/rules").write_text(
        "#!/usr/bin/make -f\nbuild build-arch build-indep:\n\tgcc -o greet hello.c\nclean:\n\trm -f greet\n"
        "binary-indep:\nbinary binary-arch: build\n\tinstall -D greet debian/tmp/usr/bin/greet\n"
        "\tmkdir -p debian/tmp/DEBIAN\n\tdpkg-gencontrol\n\tdpkg-deb --build debian/tmp ..\n"
    )
    (source / "debian/rules").chmod(0o755)
    binds = ("--bind", f"{source}:/source:ro", "--bind", f"{result}:/result")
    online("launch", "-q", "--network", "none", *binds, "debian-builder")
    (package,) = result.glob("greet_1.5_*.deb")
    assert list(result.glob("greet_1.5_*.changes")) and not (source / "greet").exists()
    path = tmp_path / "greeter.toml"
    path.write_text(
        'from = "debian-base"\n[[step]]\ncopy = { from = "result", to = "/result" }\n'
        f'[[step]]\nrun = "dpkg -i /result/{package.name}; rm -r /result"\n'
    )
    online("build", str(path))
    assert online("launch", "-q", "greeter", "--", "greet").stdout == "hello from a package\n"
    for folder, says in (
        (result / "none", "/source has no .dsc and no debian/control"),
        (source, "there is no /result"),
    ):
        folder.mkdir(exist_ok=True)
        wrong = online(
            "launch", "-q", "--network", "none", "--bind", f"{folder}:/source:ro", "debian-builder", status=1
        )
        assert says in wrong.stderr


def test_an_unknown_package_and_an_unreachable_mirror(online: Command, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text('from = "debian-base"\n[[step]]\napt = ["no-such-package-at-all"]\n')
    assert "Unable to locate package no-such-package-at-all" in online("build", str(path), status=1).stderr
    path.write_text('from = "debian-base"\n[[step]]\npip = { packages = ["x"], venv = "/v" }\n')
    assert "python3" in online("build", str(path), status=1).stderr
    assert online("ls", "-q").stdout.count("wrong") == 0
