"""The sandbox as builds use it: what is laid into a root, and what is taken from its processes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import roots

from treesmith import run
from treesmith.errors import Error
from treesmith.sandbox.sandbox import BOOTSTRAP, Bind, Sandbox


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return roots.busybox(tmp_path / "root")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def sh(root: Path, log: int, script: str, **options: object) -> list[str]:
    view, lines = roots.Folder(root), list[str]()
    try:
        run.run(Sandbox(view, ("sh", "-c", script), **options), log, lines.append)  # type: ignore[arg-type]
    finally:
        view.close()
    return lines


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_files_are_laid_over_and_not_written(root: Path, log: int) -> None:
    (root / "etc/there").write_text("mine\n")
    files = (("/etc/there", b"laid\n"), ("/etc/new", b"new\n"), ("/run/secrets/key", b"s3cret\n"))
    script = "cat /etc/there /etc/new /run/secrets/key; echo x > /etc/there || echo no; rm /etc/new || echo no"
    said = sh(root, log, script, files=files, tmpfs=(("/run", ""),))
    assert [line for line in said if ":" not in line] == ["laid", "new", "s3cret", "no", "no"]
    assert (root / "etc/there").read_text() == "mine\n"
    assert not (root / "etc/new").exists()
    assert not list((root / "run").iterdir())
    assert not [path for path in root.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]


def test_scripts_are_laid_over_executable(root: Path, log: int) -> None:
    files = (("/usr/sbin/policy-rc.d", b"#!/bin/sh\nexit 101\n"),)
    assert sh(root, log, "/usr/sbin/policy-rc.d; echo $?", files=files) == ["101"]


def test_defaults_give_way(root: Path, log: int) -> None:
    (root / "etc/full").write_text("mine\n")
    (root / "etc/empty").touch()
    defaults = (("/etc/full", b"default\n"), ("/etc/empty", b"default\n"), ("/etc/missing", b"default\n"))
    said = sh(root, log, "cat /etc/full /etc/empty /etc/missing", defaults=defaults)
    assert said == ["mine", "default", "default"]


def test_the_later_file_lies_on_top(root: Path, log: int) -> None:
    files = (("/etc/resolv.conf", b"nameserver 192.0.2.1\n"),)
    assert sh(root, log, "cat /etc/resolv.conf", files=files, network="host") == ["nameserver 192.0.2.1"]


def test_tmpfs(root: Path, log: int) -> None:
    (root / "srv").mkdir()
    (root / "srv/hidden").touch()
    said = sh(
        root,
        log,
        "ls /srv; touch /srv/x; stat -c %a /srv /tmp /var/tmp",
        tmpfs=(("/srv", ""), ("/tmp", ""), ("/var/tmp", "")),
    )
    assert said == ["755", "1777", "1777"]
    assert [path.name for path in (root / "srv").iterdir()] == ["hidden"]


def test_views_at_a_path(root: Path, log: int, tmp_path: Path) -> None:
    other, third = roots.busybox(tmp_path / "other"), tmp_path / "third"
    third.mkdir()
    views = ((roots.Folder(other), "/target"), (roots.Folder(third), "/a/b"))
    said = sh(root, log, "echo x > /target/x; touch /a/b/y; chown 7:8 /a/b/y; chroot /target pwd", views=views)
    assert said == ["/"]
    assert (other / "x").read_text() == "x\n"
    assert ((third / "y").stat().st_uid, (third / "y").stat().st_gid) == (7, 8)
    for view, _ in views:
        view.close()


def test_binds_into_a_view(root: Path, log: int, tmp_path: Path) -> None:
    target, cache = tmp_path / "target", tmp_path / "cache"
    target.mkdir()
    cache.mkdir()
    view = roots.Folder(target)
    options = {"views": ((view, "/target"),), "binds": (Bind(str(cache), "/target/var/cache/apt"),)}
    sh(root, log, "touch /target/var/cache/apt/x", **options)
    assert names(target) == set()
    assert names(cache) == {"x"}
    view.close()


def test_no_new_privs(root: Path, log: int) -> None:
    script = "grep NoNewPrivs /proc/self/status"
    assert sh(root, log, script, no_new_privs=True) == ["NoNewPrivs:\t1"]
    assert sh(root, log, script) == ["NoNewPrivs:\t0"]


def test_syncs_can_be_left_out(root: Path, log: int) -> None:
    """Seen by a descriptor that cannot be synced: /dev/null."""
    script = "dd if=/dev/zero of=/dev/null count=1 conv=fsync 2>&1 | grep -c Invalid"
    assert sh(root, log, script + "; true") == ["1"]
    assert sh(root, log, script + "; sync; true", no_sync=True) == ["0"]


def test_capabilities(root: Path, log: int) -> None:
    script = "mount -t tmpfs none /tmp && echo yes || echo no"
    assert sh(root, log, script)[-1] == "no"
    assert sh(root, log, script, capabilities=BOOTSTRAP) == ["yes"]
    assert sh(root, log, "grep CapEff /proc/self/status", capabilities=frozenset()) == ["CapEff:\t" + "0" * 16]


def test_what_a_build_mounts_and_starts_is_gone(root: Path, log: int) -> None:
    script = "mount -t tmpfs none /tmp; touch /tmp/x; setsid sleep 1000 & sleep 1000 & exit 0"
    sh(root, log, script, capabilities=BOOTSTRAP)
    assert not list((root / "tmp").iterdir())


def test_a_read_only_root(root: Path, log: int) -> None:
    before = names(root)
    with pytest.raises(Error, match="Read-only file system"):
        sh(root, log, "touch /x", read_only=True)
    assert names(root) == before | {"dev", "proc", "sys"}


def test_the_value_is_not_changed_by_a_run(root: Path, log: int) -> None:
    view = roots.Folder(root)
    sandbox = Sandbox(view, ("true",), network="host")
    before = {name: getattr(sandbox, name) for name in Sandbox.__slots__}
    run.run(sandbox, log)
    assert before == {name: getattr(sandbox, name) for name in Sandbox.__slots__}
    view.close()


def test_who_may_mount_makes_no_bind_writable(root: Path, log: int, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o755)
    (tmp_path / "mine/file").write_text("mine\n")
    script = "mount -o remount,bind,rw /data; echo bad > /data/file; touch /data/new; cat /data/file"
    said = sh(root, log, script, capabilities=BOOTSTRAP, binds=(Bind(str(tmp_path / "mine"), "/data", read_only=True),))
    assert said[-1] == "mine"
    assert (tmp_path / "mine/file").read_text() == "mine\n"
    assert os.listdir(tmp_path / "mine") == ["file"]


def test_the_hosts_devices_stay_whose_they_are(root: Path, log: int) -> None:
    """stdin is the host's /dev/null, and the pipes of others become the user's."""
    assert sh(root, log, "id -u", private_users=False, user="me")[0] == "1000"
    assert (os.stat("/dev/null").st_uid, os.stat("/dev/null").st_mode & 0o777) == (0, 0o666)
