"""The command `launch`: its options, and what the tree's own defaults make of it."""

import os
import subprocess
from pathlib import Path

import pytest
from launching import Trees


def test_options(trees: Trees) -> None:
    said = trees.sh(
        "pwd; hostname; echo $A $B; id -u; echo $HOME",
        "--chdir", "/home", "--hostname", "other", "--setenv", "A=1", "--setenv", "B=2 3", "--user", "me",
    )  # fmt: skip
    assert said == "/home\nother\n1 2 3\n1000\n/home/me\n"


def test_the_environment_is_ours_alone(trees: Trees) -> None:
    names = {line.partition("=")[0] for line in trees.sh("env").splitlines()}
    assert names == {"PATH", "HOME", "container", "container_uuid", "PWD", "SHLVL"}


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("", "0 0 0"),
        ("me", "1000 1000 1000 50"),
        ("1000", "1000 1000 1000 50"),
        ("me:staff", "1000 50 50"),
        ("1000:7", "1000 7 7"),
        ("5", "5 0 0"),
        ("5:6", "5 6 6"),
        ("5:me", "5 1000 1000"),
    ],
)
def test_users_are_the_trees(trees: Trees, user: str, said: str) -> None:
    options = ("--user", user) if user else ()
    assert trees.sh("echo $(id -u) $(id -g) $(id -G)", *options).strip() == said


def test_binds(trees: Trees, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("data\n")
    os.chown(tmp_path / "mine", 1000, 1000)
    tmp_path.chmod(0o755)
    folder = f"{tmp_path}:/data"
    assert trees.sh("cat /data/mine; stat -c %u /data/mine; touch /data/new", "--bind", folder) == "data\n1000\n"
    assert (tmp_path / "new").stat().st_uid == 0
    script = "stat -c %u /data/mine; touch /data/x 2>/dev/null || echo no"
    assert trees.sh(script, "--bind", f"{folder}:noidmap") == "65534\nno\n"
    assert trees.sh("touch /data/x 2>&1 || true", "--bind", f"{folder}:ro").strip().endswith("Read-only file system")
    assert trees.sh("cat /etc/motd", "--bind", f"{tmp_path}/mine:/etc/motd") == "data\n"
    assert "nosuid,nodev" in trees.sh("grep ' /data ' /proc/self/mountinfo", "--bind", folder)


def test_binds_bring_what_is_mounted_below(trees: Trees, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    script = f'mount -t tmpfs none {tmp_path}/below && touch {tmp_path}/below/there && exec "$@"'
    done = trees.apart(script, "launch", "-q", "base", "--bind", f"{tmp_path}:/data", "--", "ls", "/data/below")
    assert (done.stdout, done.stderr) == ("there\n", "")


def test_data_outlives_the_tree(trees: Trees, tmp_path: Path) -> None:
    name = trees.fresh()
    trees.sh("echo kept > /data/file; chown 1000 /data/file", "--bind", f"{tmp_path}:/data", tree=name)
    trees.store.remove([trees.store.find(name)])
    assert (tmp_path / "file").read_text() == "kept\n"
    assert (tmp_path / "file").stat().st_uid == 1000


def test_memory(trees: Trees, tree: str) -> None:
    script = "df -m /scratch /x/y | awk 'NR > 1 { print $2 }'; stat -c %a /x/y /v/tmp; touch /scratch/file"
    options = ("--tmpfs", "/scratch:2M", "--tmpfs", "/x/y:10m", "--tmpfs", "/v/tmp")
    assert trees.sh(script, *options, tree=tree).split() == ["2", "10", "755", "1777"]
    assert trees.sh("ls", "--chdir", "/", tree=tree).split().count("scratch") == 0
    assert "No space" in trees.sh("dd if=/dev/zero of=/s/file bs=1M count=3 2>&1 || true", "--tmpfs", "/s:1M")


def test_what_is_written_to_an_overlay_is_thrown_away(trees: Trees, tmp_path: Path) -> None:
    (tmp_path / "sub/dir").mkdir(parents=True)
    (tmp_path / "mine").write_text("data\n")
    (tmp_path / "sub/dir/file").write_text("below\n")
    os.chown(tmp_path / "mine", 1000, 1000)
    tmp_path.chmod(0o750)
    script = """
        cd /data; cat mine; stat -c '%u %a' mine .
        echo more >> mine; rm -r sub; mkdir sub; touch sub/new; ls sub; cat mine; chown me mine; stat -c %u mine
    """
    said = trees.sh(script, "--overlay", f"{tmp_path}:/data")
    assert said == "data\n1000 644\n0 750\nnew\ndata\nmore\n1000\n"
    assert (tmp_path / "mine").read_text() == "data\n"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["dir", "file", "mine", "sub"]
    done = trees.run("launch", "-q", "base", "--overlay", f"{tmp_path}/mine:/data", "--", "true")
    assert done.returncode == 125 and "mine cannot be bound" in done.stderr


def test_what_lies_in_another_is_mounted_after_it(trees: Trees, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    options = ("--bind", f"{tmp_path}:/a/b/c", "--tmpfs", "/a/b/c/d", "--tmpfs", "/a/b", "--overlay", f"{tmp_path}:/a")
    assert trees.sh("ls /a /a/b /a/b/c; touch /a/b/c/d/x", *options).split() == [
        "/a:", "b", "d", "mine", "/a/b:", "c", "/a/b/c:", "d", "mine",
    ]  # fmt: skip


def test_time_zone(trees: Trees, tmp_path: Path) -> None:
    """The host's, where the tree has none."""
    assert trees.sh("wc -c < /etc/localtime").strip() == str(len(Path("/etc/localtime").read_bytes()))
    (tmp_path / "zone").write_text("the tree's\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/localtime").symlink_to("../zone")
    (tmp_path / "bin").mkdir()
    subprocess.run(["cp", "/bin/busybox", tmp_path / "bin/sh"], check=True)
    trees.add("zone", tmp_path)
    assert trees.sh("read x < /etc/localtime; echo $x", tree="zone") == "the tree's\n"


def test_what_is_mounted_inside_stays_inside(trees: Trees, tmp_path: Path) -> None:
    """A bind of a shared mount is no peer of it: what is mounted below it inside does not come out."""
    (tmp_path / "below").mkdir()
    script = f'mount --make-rshared / && mount --bind {tmp_path} {tmp_path} && "$@"; grep -c {tmp_path}/b /proc/mounts'
    binds = ("--bind", f"{tmp_path}:/data", "--bind", "/etc:/data/below")
    done = trees.apart(script, "launch", "-q", "base", *binds, "--", "true")
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_read_only(trees: Trees, tree: str) -> None:
    script = "touch /x 2>&1; for d in tmp run var/tmp dev/shm; do touch /$d/x && echo $d; done"
    said = trees.sh(script, "--read-only", tree=tree)
    assert said == "touch: /x: Read-only file system\ntmp\nrun\nvar/tmp\ndev/shm\n"
    assert trees.sh("ls /tmp", tree=tree) == ""


def test_no_resolver_without_a_network(trees: Trees, tree: str) -> None:
    assert trees.sh("ls /etc/resolv.conf 2>/dev/null; true", tree=tree) == ""


def test_the_hosts_network_and_resolver(trees: Trees, tree: str) -> None:
    host = Path("/etc/resolv.conf").read_text()
    assert trees.sh("cat /etc/resolv.conf; echo bad > /etc/resolv.conf || true", "--network", "host", tree=tree) == host
    assert trees.sh("ls /etc/resolv.conf || true", tree=tree) == ""
    own = sorted(line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:])
    assert trees.sh("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | sort", "--network", "host").split() == own


def test_the_trees_own_resolver_is_back_afterwards(trees: Trees, tree: str) -> None:
    trees.sh("echo mine > /etc/resolv.conf", tree=tree)
    assert "mine" not in trees.sh("cat /etc/resolv.conf", "--network", "host", tree=tree)
    assert trees.sh("cat /etc/resolv.conf", tree=tree) == "mine\n"


def test_hosts(trees: Trees, tree: str) -> None:
    assert "localhost" in trees.sh("cat /etc/hosts", tree=tree)
    assert tree in trees.sh("cat /etc/hosts", tree=tree)


def test_the_trees_own_hosts_are_left_alone(trees: Trees, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_text("127.0.0.1 mine\n")
    (tmp_path / "bin").mkdir()
    subprocess.run(["cp", "/bin/busybox", tmp_path / "bin/sh"], check=True)
    trees.add("hosts", tmp_path)
    assert trees.sh("while read x; do echo $x; done < /etc/hosts", tree="hosts") == "127.0.0.1 mine\n"


def test_without_a_command_it_is_roots_shell(trees: Trees, tmp_path: Path) -> None:
    done = trees.run("launch", "-q", "base", input="echo $0; exit 6\n")
    assert (done.returncode, done.stdout) == (6, "/bin/sh\n")
    done = trees.run("launch", "-q", "base", "--user", "4000", input="id -u\n")
    assert (done.returncode, done.stdout) == (0, "4000\n")


def test_the_trees_command(trees: Trees, tree: str) -> None:
    found = trees.store.find(tree)
    trees.store.update(
        found, launch={"command": ["sh", "-c", "echo $A $(pwd); exit 4"], "env": {"A": "b"}, "chdir": "/etc"}
    )
    done = trees.run("launch", tree)
    assert (done.returncode, done.stdout) == (4, "b /etc\n")
    done = trees.run("launch", tree, "--", "echo", "other")
    assert (done.returncode, done.stdout) == (0, "other\n")


def test_a_default_that_is_not_kept_is_named(trees: Trees, tree: str) -> None:
    trees.store.update(trees.store.find(tree), launch={"later": "1G"})
    done = trees.run("launch", tree, "--", "true")
    assert done.returncode == 0
    assert "later is not kept" in done.stderr


def test_nothing_is_left_in_the_tree(trees: Trees, tree: str, tmp_path: Path) -> None:
    """Of what it has not, and something is laid on or bound to; but what the container makes there stays."""
    (tmp_path / "mine").touch()
    binds = (f"--bind={tmp_path}:/srv/deep/data", f"--bind={tmp_path}/mine:/opt/mine", f"--bind={tmp_path}:/var/x")
    trees.sh("echo kept > /var/kept", "--network", "host", *binds, tree=tree)
    failed = trees.run("launch", tree, *binds, "--bind", f"{tmp_path}/mine:/etc", "--", "true")
    assert failed.returncode == 125
    found = trees.store.find(tree)
    view = trees.store.backend.open(found, "ro")
    root = view.mount()
    try:
        there = Path(f"/proc/self/fd/{root}")
        assert sorted(os.listdir(there / "etc")) == ["group", "passwd"]
        assert os.listdir(there / "var") == ["kept"]
        assert not [name for name in ("srv", "opt") if (there / name).exists()]
    finally:
        os.close(root)
        view.close()
    assert sorted(os.listdir(tmp_path)) == ["mine"]
