"""Without root: what a plain user with subordinate ids can do, what keeps him in, and what he is told where he lacks
something."""

import json
import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from ground import cgroup_folder
from offline.debian import debian
from plain import COUNT, NAME, Plain


def started(me: Plain, name: str, *options: str) -> int:
    """The pid of a detached container's first process."""
    me.run("launch", "-q", "--detach", "--name", name, *options, "base", "--", "sleep", "1000")
    found = json.loads(me.run("ps", "--json").stdout)["containers"]
    return next(int(one["pid"]) for one in found if one["name"] == name)


def namespace(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/user")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_build_snapshot_launch_and_prune(me: Plain) -> None:
    recipe = me.home / "app.toml"
    run = "echo hello > /hello; chown 1000:1000 /hello; chmod u+s /hello"
    recipe.write_text(f'from = "../base.toml"\n[[step]]\nrun = "{run}"\n')
    me.run("build", "-q", str(recipe))
    me.run("snapshot", "-q", "app", "web")
    script = "ls -ln /hello; rm /hello; echo x > /new; id -u"
    said = me.run("launch", "-q", "web", "--", "sh", "-c", script).stdout
    assert said.split()[2:4] == ["1000", "1000"]
    assert said.split()[-1] == "0"
    assert me.run("launch", "-q", "web", "--", "ls", "/").stdout.split().count("new") == 1
    assert [row.split()[0] for row in me.run("ls").stdout.splitlines()[1:]] == ["app", "base", "web"]
    owners = {path.lstat().st_uid for path in me.store.rglob("*")}
    assert owners == {me.first, me.first + 1000}
    me.run("rm", "web", "app")
    assert "1 thing" in me.run("prune").stderr
    assert me.run("check").returncode == 0


@pytest.mark.parametrize("driver", ["mmdebstrap", "debootstrap"])
def test_a_debian_is_built(me: Plain, driver: str) -> None:
    """With what tells root from others in it: owners, setuid files, a file of a folder that only the user may enter."""
    repository = debian()
    (me.home / "files").mkdir(exist_ok=True)
    (me.home / "files/motd").write_text("welcome\n")
    recipe = me.home / f"{driver}.toml"
    recipe.write_text(
        f"""
        [[step]]
        driver = "{driver}"
        [step.debootstrap]
        suite = "bookworm"
        mirror = "file://{repository.folder}"
        keyring = "{repository.keyring}"
        [[step]]
        apt = ["hello"]
        [[step]]
        run = "useradd --system app; hello > /said"
        [[step]]
        copy = {{ from = "files", to = "/srv", owner = "app" }}
        """
    )
    me.run("build", "-q", str(recipe))
    script = "cat /said /srv/motd; stat -c %U /srv/motd"
    said = me.run("launch", "-q", driver, "--", "sh", "-c", script).stdout
    assert said == "hello from conf of 1.0\nwelcome\napp\n"


def test_the_caller_is_nobody_inside_and_root_inside_is_nobody_outside(me: Plain) -> None:
    pid = started(me, "one")
    assert Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", str(me.first), str(COUNT)]
    assert Path(f"/proc/{pid}/gid_map").read_text().split() == ["0", str(me.first), str(COUNT)]
    status = Path(f"/proc/{pid}/status").read_text()
    assert f"Uid:\t{me.first}\t{me.first}\t{me.first}\t{me.first}" in status
    assert "Seccomp:\t2" in status
    said = me.run("enter", "one", "--", "sh", "-c", "id -u; id -G; grep ^Cap /proc/self/status").stdout.split()
    assert said[:2] == ["0", "0"]
    assert said[said.index("CapBnd:") + 1] == "00000000800405fb"
    me.run("stop", "one")


def test_the_store_is_for_nobody_else(me: Plain) -> None:
    status = me.store.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (me.first, 0o700)
    for above in (".local", ".local/share"):
        assert (me.home / above).stat().st_uid == me.id
    look = subprocess.run(["ls", me.store], user=me.id, group=me.id, extra_groups=[], capture_output=True, check=False)
    assert b"Permission denied" in look.stderr
    root = [me.python, "-m", "treesmith", "--store", str(me.store), "ls"]
    done = subprocess.run(root, env=me.environment, capture_output=True, text=True, check=False)
    assert f"belongs to user {me.first}" in done.stderr


def test_all_that_runs_is_in_one_namespace_and_every_verb_reaches_it(me: Plain) -> None:
    first, second = started(me, "one", "--user", NAME), started(me, "two")
    assert namespace(parent(first)) == namespace(parent(second)) != namespace(os.getpid())
    assert namespace(first) != namespace(second) != namespace(parent(second))
    assert me.run("enter", "one", "--", "id", "-u").stdout == "1000\n"
    assert me.run("enter", "two", "--", "sh", "-c", "exit 7", status=7).stdout == ""
    me.run("stop", "--timeout", "5", "one")  # its first process is not root's
    me.run("stop", "two")
    assert me.run("wait", "two").stdout == "143\n"


def test_many_at_once_make_one_namespace(me: Plain) -> None:
    words = ("launch", "-q", "base", "--", "sleep", "0.2")
    begun = [subprocess.Popen(me.argv(*words)) for _ in range(4)]
    assert [process.wait(60) for process in begun] == [0] * 4


def test_the_host_s_network_and_files_of_the_caller(me: Plain) -> None:
    (me.home / "data").mkdir()
    (me.home / "data/file").write_text("mine\n")
    bind = f"{me.home}/data:/data"
    done = me.run("launch", "-q", "--bind", bind, "base", "--", "true", status=125)
    assert "cannot be id-mapped" in done.stderr
    assert f"{bind}:noidmap" in done.stderr
    said = me.run("launch", "-q", "--bind", f"{bind}:noidmap", "base", "--", "ls", "-ln", "/data").stdout.split()
    assert said[4:6] == ["65534", "65534"]
    options = ("--bind", f"{bind}:ro", "--network", "host")
    said = me.run("launch", "-q", *options, "base", "--", "sh", "-c", "cat /data/file; ls /sys/class/net").stdout
    assert set(said.split()) == {"mine", *os.listdir("/sys/class/net")}


def test_a_store_kept_by_copies(me: Plain) -> None:
    store = str(me.home / "copies")
    me.run("--store", store, "init", "--backend", "copy")
    me.run("--store", store, "build", "-q", str(me.folder / "base.toml"))
    me.run("--store", store, "snapshot", "-q", "base", "web")
    said = me.run("--store", store, "launch", "-q", "web", "--", "sh", "-c", "rm /etc/passwd; ls /etc").stdout
    assert "passwd" not in said.split()
    assert me.run("--store", store, "launch", "-q", "base", "--", "head", "-c4", "/etc/passwd").stdout == "root"


def test_btrfs_and_zfs_are_for_root(me: Plain) -> None:
    for backend in ("btrfs", "zfs"):
        done = me.run("--store", str(me.home / backend), "init", "--backend", backend, status=1)
        assert "only root can remove what it makes" in done.stderr


def test_without_a_home_in_the_environment_it_is_the_one_of_passwd(me: Plain) -> None:
    argv = me.argv("ls")
    argv.remove(f"HOME={me.home}")
    assert "base" in subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_a_killed_supervisor_leaves_nothing(me: Plain) -> None:
    me.run("snapshot", "-q", "base", "web")
    pid = int(json.loads(run_detached(me))["containers"][0]["pid"])
    supervisor = parent(pid)
    os.kill(supervisor, signal.SIGKILL)
    for orphan in (supervisor, pid):
        os.waitpid(orphan, 0)
    assert me.run("launch", "-q", "web", "--", "echo", "again").stdout == "again\n"
    assert json.loads(me.run("ps", "--json").stdout)["containers"] == []
    me.run("rm", "web")


def run_detached(me: Plain) -> str:
    me.run("launch", "-q", "--detach", "web", "--", "sleep", "1000")
    return me.run("ps", "--json").stdout


def test_what_takes_root_is_refused(me: Plain) -> None:
    assert "only root can mount on the host" in me.run("mount", "base", status=1).stderr
    done = me.run("launch", "-q", "--pids", "10", "base", "--", "true", status=125)
    assert "--pids cannot be enforced" in done.stderr
    assert "systemd-run --user --scope -p Delegate=yes" in done.stderr


def test_doctor(me: Plain) -> None:
    found = {check["name"]: check for check in json.loads(me.run("doctor", "--json").stdout)["checks"]}
    assert {name for name, check in found.items() if check["state"] == "fail"} == set()
    assert f"the ids from {me.first} on, shared by all containers" in found["user"]["found"]
    assert found["pasta"]["state"] == ("ok" if os.path.exists("/dev/net/tun") else "warn")


def test_nothing_slow_is_imported(me: Plain) -> None:
    from test_hot import SLOW

    argv = me.argv("launch", "-q", "base", "--", "true")
    argv[-7:-5] = ["-S", "-X", "importtime", "-c", "from treesmith.__main__ import main; main()"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert {"treesmith.rootless", "treesmith.store.store"} <= modules
    assert not modules & SLOW


def test_in_a_cgroup_of_the_user_s_own(me: Plain) -> None:
    own = cgroup_folder()
    assert own
    folder = own / "delegated"
    folder.mkdir()
    for path in (folder, *(folder / name for name in ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads"))):
        os.chown(path, me.id, me.id)

    def there(*words: str) -> str:
        argv = ["sh", "-ec", f'echo $$ > {folder}/cgroup.procs; exec "$@"', "sh", *me.argv(*words)]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    try:
        me.run("snapshot", "-q", "base", "web")
        there("launch", "-q", "--detach", "web", "--", "sleep", "1000")
        assert [path.name.startswith("treesmith-") for path in folder.iterdir() if path.is_dir()] == [True]
        there("freeze", "web")
        assert json.loads(me.run("ps", "--json").stdout)["containers"][0]["state"] == "frozen"
        there("thaw", "web")
        there("snapshot", "-q", "web", "copy")
        assert there("enter", "web", "--", "echo", "inside") == "inside\n"
        done = me.run("enter", "web", "--", "true", status=125)  # from a cgroup that is root's
        assert "systemd-run --user --scope" in done.stderr
        me.run("stop", "web")
        me.run("rm", "web", "copy")
    finally:
        folder.rmdir()


# --- what is missing ------------------------------------------------------------------------------------------------


def complaint(me: Plain, *prefix: str, **more: str) -> list[str]:
    """Of `treesmith ls`, run by the command `prefix`."""
    argv = [*prefix, *me.argv("ls")]
    at = argv.index(me.python)
    argv[at:at] = [f"{name}={value}" for name, value in more.items()]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1, (done.stdout, done.stderr)
    return [line.strip() for line in done.stderr.splitlines()]


def instead(me: Plain, **files: str) -> list[str]:
    """A prefix for which files of /etc have this text."""
    script = ""
    for name, text in files.items():
        file = me.folder / f"instead-{name}"
        file.write_text(text)
        script += f"mount --bind {file} /etc/{name}; "
    return ["unshare", "-m", "sh", "-ec", script + 'exec "$@"', "sh"]


def usermod(first: int, *kinds: str) -> str:
    return f"sudo usermod {' '.join(f'--add-sub{kind}s {first}-{first + COUNT - 1}' for kind in kinds)} {NAME}"


def test_no_subordinate_ids(me: Plain) -> None:
    lines = complaint(me, *instead(me, subuid="you:200000:65536\n", subgid=""))
    assert lines[0] == f"treesmith: {NAME} has no subordinate user and group ids"
    assert lines[-1] == usermod(265536, "uid", "gid")


def test_too_few_of_one_kind(me: Plain) -> None:
    lines = complaint(me, *instead(me, subgid=f"{NAME}:100000:65535\n"))
    assert lines[0] == f"treesmith: {NAME} has no subordinate group ids"
    assert lines[1] == "without root treesmith needs 65536 of each, in one line of /etc/subgid"
    assert lines[-1] == usermod(me.first + COUNT, "gid")


def test_ids_that_a_number_was_given(me: Plain) -> None:
    line = f"{me.id}:{me.first}:{COUNT}\n"
    argv = [*instead(me, subuid=line, subgid=line), *me.argv("ls")]
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 0


def test_a_user_without_a_name(me: Plain) -> None:
    lines = complaint(me, *instead(me, passwd="root:x:0:0::/root:/bin/sh\n"))
    assert lines[0] == f"treesmith: user {me.id} has no name"
    assert lines[-1] == f"sudo useradd --uid {me.id} NAME"


def test_no_newuidmap(me: Plain) -> None:
    lines = complaint(me, PATH="/nowhere")
    assert lines[0] == "treesmith: newuidmap is missing"
    assert lines[-1].startswith("sudo apt install uidmap")


def test_newuidmap_that_is_not_setuid(me: Plain) -> None:
    folder = me.folder / "powerless"
    folder.mkdir()
    shutil.copy("/usr/bin/newuidmap", folder)
    (folder / "newuidmap").chmod(0o755)
    lines = complaint(me, PATH=str(folder))
    assert lines[0] == "treesmith: subordinate ids cannot be mapped"
    assert "newuidmap: " in lines[1]
    assert lines[-1] == f"sudo chmod u+s {folder}/newuidmap"


def test_no_new_privileges(me: Plain) -> None:
    lines = complaint(me, "setpriv", "--no-new-privs")
    assert lines[0] == "treesmith: subordinate ids cannot be mapped"
    assert "no_new_privs" in lines[-1]


def test_a_sysctl_that_forbids_it(me: Plain) -> None:
    script = 'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --inh-caps=-all --ambient-caps=-all "$@"'
    argv = me.argv("ls")
    at = argv.index(me.python)
    argv[at:at] = ["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-ec", script, "sh"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[0] == "treesmith: no user namespace can be entered"
    assert done.stderr.splitlines()[-1].strip() == "sudo sysctl -w user.max_user_namespaces=15000"


def test_doctor_says_what_is_missing(me: Plain) -> None:
    found = json.loads(me.run("doctor", "--json", status=1, PATH="/nowhere").stdout)["checks"][-1]
    assert (found["name"], found["state"]) == ("user", "fail")
    assert found["advice"].startswith("sudo apt install uidmap")


def test_help_and_recipes_need_nothing(me: Plain) -> None:
    assert "debian-base" in me.run("recipes", PATH="/nowhere").stdout
    assert "Usage" in me.run("launch", "--help", PATH="/nowhere").stdout


def test_a_folder_for_records_that_is_somebody_else_s(me: Plain) -> None:
    """Without XDG_RUNTIME_DIR it is one in /tmp, where everybody may have been first."""
    folder = Path(f"/tmp/treesmith-{me.id}")
    try:
        me.run("ls", XDG_RUNTIME_DIR="/run/user/0")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        os.chown(folder, 1, 1)
        assert "is not yours alone" in me.run("ls", status=1, XDG_RUNTIME_DIR="").stderr
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_ids_that_are_not_the_store_s(me: Plain) -> None:
    line = f"{NAME}:{me.first + COUNT}:{COUNT}\n"
    lines = complaint(me, *instead(me, subuid=line, subgid=line))
    assert lines[0] == f"treesmith: the store at {me.store} is not yours"
    assert "gave you other ids" in lines[1]
