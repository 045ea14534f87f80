"""`path` and `mount` are good as they are for the programs that took a root's folder before there were containers."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Command
from ground import cgroup_folder, cgroups

from treesmith.store import Store, Tree


@pytest.fixture
def place(treesmith: Command, store: Store, base: Tree) -> Iterator[Path]:
    """A writable tree's root: what `path` prints where there is one, else what `mount` does."""
    treesmith("snapshot", "base", "web")
    if store.backend.traits.host_path:
        yield Path(treesmith("path", "web").stdout.strip())
        return
    assert "treesmith mount web" in treesmith("path", "web", status=1).stderr
    yield Path(treesmith("mount", "web").stdout.strip())
    treesmith("umount", "web")


def ask(*argv: str | Path) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done
    return done.stdout


def test_chroot_and_unshare(place: Path) -> None:
    script = "id -u; pwd; echo $0 > /made; chown 33:44 /made"
    assert ask("chroot", place, "/bin/sh", "-c", script, "first") == "0\n/\n"
    assert ask("chroot", "--userspec=1000:50", place, "/bin/sh", "-c", "id -u; id -g; cat /made") == "1000\n50\nfirst\n"
    script = "mount -t proc proc /proc && echo $$ && ls -d /proc/[0-9]*"
    (place / "proc").mkdir(exist_ok=True)
    said = ask("unshare", "--fork", "--pid", "--mount", f"--root={place}", "/bin/sh", "-c", script)
    assert said.split()[0] == "1" and "/proc/1" in said
    assert ask("unshare", "--user", "--map-root-user", f"--root={place}", "/bin/sh", "-c", "cat /made") == "first\n"
    status = (place / "made").stat()
    assert (status.st_uid, status.st_gid) == (33, 44)


@pytest.fixture
def box() -> Iterator[Path]:
    """A cgroup: nspawn divides the one that it stands in, and leaves it so."""
    above = cgroup_folder()
    assert above
    box = above / "nspawn"
    box.mkdir(mode=0o755)
    yield box
    for folder in (*reversed(cgroups(box)), box):
        folder.rmdir()


def test_nspawn(place: Path, box: Path) -> None:
    """With users of its own it would give every file to them; without, a tree is as it was."""
    (place / "usr/lib").mkdir(parents=True)
    (place / "usr/lib/os-release").write_text("ID=test\n")
    argv = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-users=no", "--pipe", "-D", place]
    argv = ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(box), *argv]
    said = ask(*argv, "/bin/sh", "-c", "echo from nspawn > /made; id -u; readlink /proc/self/ns/mnt")
    assert said.split()[0] == "0" and os.readlink("/proc/self/ns/mnt") not in said
    assert (place / "made").read_text() == "from nspawn\n"


def test_rsync_takes_it_along_and_back(place: Path, tmp_path: Path) -> None:
    """Owners, modes, links, capabilities and times; the second run finds nothing to do."""
    (place / "made").write_text("content")
    os.link(place / "made", place / "again")
    os.chown(place / "made", 33, 44)
    (place / "made").chmod(0o4750)
    os.setxattr(place / "made", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    (place / "link").symlink_to("/nowhere")
    os.mkfifo(place / "fifo")
    rsync = ["rsync", "-aHAX", "--numeric-ids", "--delete", "--itemize-changes"]
    ask(*rsync, f"{place}/", f"{tmp_path}/copy/")
    copied = (tmp_path / "copy/made").stat()
    assert (copied.st_uid, copied.st_gid, copied.st_mode & 0o7777, copied.st_nlink) == (33, 44, 0o4750, 2)
    assert os.getxattr(tmp_path / "copy/made", "security.capability")
    (tmp_path / "copy/new").write_text("brought back")
    (tmp_path / "copy/again").unlink()
    ask(*rsync, f"{tmp_path}/copy/", f"{place}/")
    assert (place / "new").read_text() == "brought back" and not (place / "again").exists()
    assert ask(*rsync, "--dry-run", f"{tmp_path}/copy/", f"{place}/") == ""


def test_what_they_did_a_launch_finds(treesmith: Command, store: Store, base: Tree, place: Path) -> None:
    ask("chroot", place, "/bin/sh", "-c", "echo made > /made; chown 1000 /made; mkdir -p /data/x; rm -r /home")
    if not store.backend.traits.host_path:
        assert "it is mounted on" in treesmith("launch", "-q", "web", "--", "true", status=125).stderr
        treesmith("umount", "web")
    said = treesmith("launch", "-q", "web", "--", "sh", "-c", "stat -c %u /made; ls -d /home 2>&1; touch /launched")
    assert said.stdout.split()[0] == "1000" and "No such file" in said.stdout
    if not store.backend.traits.host_path:
        treesmith("mount", "web")
    assert (place / "launched").stat().st_uid == 0
