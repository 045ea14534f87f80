"""The host's tools as a root."""

import os
from pathlib import Path

import pytest
import roots

from treesmith import run
from treesmith.sandbox.sandbox import Sandbox
from treesmith.sandbox.tools import Tools


def ask(tmp_path: Path, script: str, **options: object) -> str:
    tree = tmp_path / "tree"
    tree.mkdir(exist_ok=True)
    tools, view, lines = Tools(), roots.Folder(tree), list[str]()
    log = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    try:
        sandbox = Sandbox(tools, ("sh", "-c", script), views=((view, "/target"),), **options)  # type: ignore[arg-type]
        run.run(sandbox, log, lines.append)
    finally:
        tools.close()
        view.close()
        os.close(log)
    return "\n".join(lines)


def test_programs_run_and_write_to_the_target(tmp_path: Path) -> None:
    assert ask(tmp_path, "perl -e 'print 6*7'; touch /target/x; chown 1:2 /target/x; sort --version | head -1") != ""
    status = (tmp_path / "tree/x").stat()
    assert (status.st_uid, status.st_gid) == (1, 2)


@pytest.mark.parametrize("path", ["/etc/shadow", "/root/.ssh", "/home", "/etc/apt", "/var/lib/dpkg", "/etc/ssh"])
def test_what_is_not_there(tmp_path: Path, path: str) -> None:
    assert ask(tmp_path, f"ls {path} 2>/dev/null; true") == ""


def test_the_host_cannot_be_written(tmp_path: Path) -> None:
    said = ask(tmp_path, "touch /usr/x; touch /etc/ssl/x; mount -o remount,rw,bind /usr; touch /usr/x; true")
    assert "Read-only" in said and not Path("/usr/x").exists()


def test_files_of_the_hosts_root_alone_cannot_be_read(tmp_path: Path) -> None:
    secret = Path("/usr/share/treesmith-test-secret")
    secret.touch(0o600)
    try:
        secret.write_text("secret")
        assert "Permission denied" in ask(tmp_path, f"cat {secret} 2>&1; true")
    finally:
        secret.unlink()


def test_a_furnished_target_can_be_entered(tmp_path: Path) -> None:
    roots.busybox(tmp_path / "tree")
    script = "chroot /target sh -c 'echo x >/dev/null; head -c4 /dev/zero | wc -c; ls -d /proc/self /sys/class'"
    assert ask(tmp_path, script, furnish=True) == "4\n/proc/self\n/sys/class"
    assert not list((tmp_path / "tree/dev").iterdir())
