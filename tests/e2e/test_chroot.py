"""`--isolation chroot`: what chroot(1) and su(1) were used for, a plain user of the host's in a tree."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from launching import Trees, wait_for

CHROOT = ("--isolation", "chroot", "--user", "me")


@pytest.fixture
def inside(trees: Trees, no_leaks: None) -> Iterator[str]:
    """The name of such a container that runs."""
    done = trees.run("launch", "-q", "-d", "base", *CHROOT, "--", "sh", "-c", "sleep 100000 & sleep 100000")
    assert done.returncode == 0, done.stderr
    yield done.stdout.strip()
    trees.run("stop", done.stdout.strip(), "--timeout", "0")


def test_from_inside(trees: Trees) -> None:
    script = """
        id; pwd; echo $HOME; hostname; cat /proc/self/uid_map; ls /dev/fd/ | wc -l; ls -d /proc/[0-9]* | wc -l
        for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done
        cat /proc/self/status /proc/self/mountinfo
    """
    said = trees.sh(script, *CHROOT)
    assert said.startswith(f"uid=1000(me) gid=1000(me) groups=50(staff)\n/\n/home/me\n{os.uname().nodename}\n")
    names = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
    shared = {name for name in names if os.readlink(f"/proc/self/ns/{name}") in said.splitlines()}
    assert shared == {"net", "user", "uts"}
    assert said.splitlines()[4].split() == ["0", "0", "4294967295"] and int(said.splitlines()[5]) == 4
    for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb"):
        assert f"\nCap{kind}:\t{'0' * 16}\n" in said
    assert "\nNoNewPrivs:\t1\n" in said and "\nSeccomp:\t2\n" in said
    mounts = [line.split() for line in said.splitlines() if " - " in line]
    assert [fields[5] for fields in mounts if fields[4] == "/"] == ["rw,nosuid,nodev,relatime"]
    assert not [fields for fields in mounts if not re.match(r"/$|/(dev|proc|sys)(/|$)|/etc/", fields[4])]


@pytest.mark.parametrize("user", ["root", "0", "me:root", "me:0", "1234", "0:5", "toor", "wheel", "4294967295:5", ""])
def test_root_is_refused(trees: Trees, roots_of_all_kinds: str, user: str) -> None:
    done = trees.run("launch", "-q", roots_of_all_kinds, "--isolation=chroot", *(("--user", user) if user else ()))
    assert done.returncode == 125 and ("--user" in done.stderr or "cannot be" in done.stderr), done


@pytest.fixture(scope="module")
def roots_of_all_kinds(trees: Trees, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("roots")
    subprocess.run(["cp", "-a", f"{Path(trees.store.path).parent}/busybox/.", root], check=True)
    with (root / "etc/passwd").open("a") as file:
        file.write("toor:x:0:1000::/:/bin/sh\nwheel:x:1001:1001::/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:wheel\nme:x:1000:\n")
    return trees.add("roots", root, sealed=True).name


def test_nothing_makes_root_of_it(trees: Trees, tree: str) -> None:
    trees.sh("cp /bin/busybox /bin/su; chmod 4755 /bin/su", tree=tree)
    said = trees.sh("su -c id 2>&1; chroot / id 2>&1; unshare -U id 2>&1; chown root /tmp 2>&1; :", *CHROOT, tree=tree)
    assert "uid=0" not in said and said.count("Operation not permitted") >= 2


def test_who_has_its_id_on_the_host_is_out_of_reach(trees: Trees) -> None:
    """By signals, by ptrace(2), by what /proc shows of him."""
    with subprocess.Popen(["sleep", "1000"], user=1000, group=1000, extra_groups=[]) as other:
        try:
            script = f"kill -9 {other.pid}; ls /proc/{other.pid}/root/; cat /proc/*/cmdline | tr '\\0' ' '"
            done = trees.run("launch", "-q", "base", *CHROOT, "--", "sh", "-c", f"{script}; :")
            assert "sleep 1000" not in done.stdout.replace(script, "") and "etc" not in done.stdout.splitlines()
            assert other.poll() is None
        finally:
            other.kill()


@pytest.mark.parametrize("status", [0, 7, 125])
def test_the_status_is_the_commands(trees: Trees, status: int) -> None:
    assert trees.run("launch", "-q", "base", *CHROOT, "--", "sh", "-c", f"exit {status}").returncode == status


@pytest.mark.parametrize(
    ("words", "status"), [(("sh", "-c", "kill -9 $$"), 137), (("nothere",), 127), (("/etc",), 126)]
)
def test_statuses_of_what_does_not_end_well(trees: Trees, words: tuple[str, ...], status: int) -> None:
    assert trees.run("launch", "-q", "base", *CHROOT, "--", *words).returncode == status


def test_its_files_and_its_terminal(trees: Trees, tree: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    said = trees.sh("touch /home/me/x /data/y; touch /etc/z 2>&1; tty", "--tty", f"--bind={tmp_path}:/data", *CHROOT,
                    tree=tree)  # fmt: skip
    assert "Permission denied" in said and "/dev/pts/0" in said
    assert (tmp_path / "y").stat().st_uid == 1000
    assert trees.sh("stat -c %u /home/me/x; cat /etc/hosts", tree=tree).startswith("1000\n")


def test_all_verbs_know_it(trees: Trees, inside: str) -> None:
    assert inside in trees.run("ps").stdout
    script = "id -u; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; ps | grep -c 'sleep 10000[0]'"
    said = trees.run("enter", inside, "--", "sh", "-c", script).stdout.split()
    assert said[0] == "1000" and int(said[-1]) >= 3 and said[2:12:2] == ["0" * 16] * 5 and said[12:16:2] == ["1", "2"]
    refused = trees.run("enter", "--user", "root", inside, "--", "id")
    assert refused.returncode == 125 and "does not run as 0:0" in refused.stderr
    for verb, state in (("freeze", "frozen"), ("thaw", "running")):
        assert trees.run(verb, inside).returncode == 0
        assert state in trees.run("ps").stdout
    assert trees.run("stop", inside).returncode == 0
    assert trees.run("wait", inside).stdout == "143\n"


def test_a_killed_supervisor_leaves_nothing(trees: Trees, tree: str) -> None:
    supervisor = trees.start("launch", "-q", tree, *CHROOT, "--", "sh", "-c", "(sleep 54321 &) ; echo up; sleep 54321")
    assert supervisor.stdout and supervisor.stdout.readline() == b"up\n"
    supervisor.send_signal(signal.SIGKILL)
    supervisor.communicate()
    left = ["pgrep", "-f", "sleep 54321"]
    wait_for("all inside to die", lambda: subprocess.run(left, check=False, capture_output=True).returncode)
    assert trees.run("launch", "-q", tree, "--", "true").returncode == 0


def test_the_trees_own_user_will_do(trees: Trees) -> None:
    """And what else a tree asks for that cannot be: the network is the host's."""
    recipe = Path(trees.store.path).parent / "app.toml"
    subprocess.run(["tar", "-C", recipe.parent / "busybox", "-cf", recipe.with_suffix(".tar"), "."], check=True)
    launch = '[launch]\nuser = "me"\nnetwork = "private"\nports = ["8080:80"]\ncommand = ["id", "-u"]\n'
    recipe.write_text(f'[[step]]\ntar = {{ file = "app.tar" }}\n{launch}')
    assert trees.run("build", "-q", str(recipe)).returncode == 0
    done = trees.run("launch", "-q", "app", "--isolation", "chroot")
    assert (done.returncode, done.stdout) == (0, "1000\n"), done


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--boot",), "exclude each other"),
        (("--cap-add", "CHOWN"), "--cap-add and --isolation chroot exclude"),
        (("--network", "none"), "--network and --isolation chroot exclude"),
        (("--hostname", "x"), "--hostname and --isolation chroot exclude"),
        (("--private-users", "yes"), "--private-users yes and --isolation chroot exclude"),
        (("--bind", "/tmp:/x:noidmap"), "noidmap and --isolation chroot exclude"),
        (("--isolation", "vm"), "there are: namespaces (the default), chroot"),
    ],
)
def test_what_does_not_go_with_it(trees: Trees, options: tuple[str, ...], said: str) -> None:
    done = trees.run("launch", "-q", "base", *CHROOT, *options, "--", "true")
    assert (done.returncode, said in done.stderr) == (125, True), done


def test_what_may_go_with_it(trees: Trees) -> None:
    options = ("--network=host", "--read-only", "--private-users=no", "--pids=20", "--tmpfs=/x", "--seccomp=off")
    assert trees.sh("id -u; touch /tmp/x /x/y; touch /etc/x 2>/dev/null || echo no", *CHROOT, *options) == "1000\nno\n"
