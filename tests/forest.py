"""What tests put into roots, and how they look at them."""

import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from treesmith.compare import Entry, walk
from treesmith.store import Store

DAY = 86_400_000_000_000  # ns


@contextmanager
def opened(store: Store, root, mode: str = "rw") -> Iterator[Path]:
    """The root, mounted nowhere, as a path that works while the block lasts."""
    view = store.backend.open(root, mode)
    try:
        mount = view.mount()
        try:
            yield Path(f"/proc/{os.getpid()}/fd/{mount}")  # not self: for child processes too
        finally:
            os.close(mount)
    finally:
        view.close()


def content(store: Store, root) -> list[Entry]:
    with opened(store, root, "ro") as path:
        return manifest(path)


def manifest(path: Path) -> list[Entry]:
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
    try:
        return list(walk(fd))
    finally:
        os.close(fd)


def plant(root: Path) -> None:
    """One of everything that a root may hold."""
    (root / "etc").mkdir()
    (root / "etc/motd").write_text("hello\n")
    (root / "etc/empty").touch(0o600)
    (root / "etc/removed").write_text("to be removed in a fork")
    (root / "dir/sub/deep").mkdir(parents=True)
    (root / "dir/a").write_text("a")
    (root / "dir/sub/b").write_text("b")
    (root / "linked").write_text("one file, three names")
    os.link(root / "linked", root / "dir/linked too")
    os.link(root / "linked", root / "etc/linked")
    os.symlink("etc/motd", root / "link")
    os.symlink("/etc/shadow", root / "out")
    os.symlink("nowhere", root / "dangling")
    os.mkfifo(root / "fifo", 0o640)
    os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(root / "disk", 0o660 | stat.S_IFBLK, os.makedev(7, 7))
    here = os.open(".", os.O_PATH)
    os.chdir(root)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    os.fchdir(here)
    os.close(here)
    (root / "setuid").write_bytes(b"#!")
    (root / "sticky").mkdir()
    with (root / "holes").open("wb") as file:
        file.seek(8 << 20)
        file.write(b"end")
    (root / ("n" * 255)).touch()
    for name in (b"not utf-8 \xff\xfe", b"new\nline", b"-dash", b" "):
        (root / os.fsdecode(name)).write_bytes(name)
    (root / "capable").write_bytes(b"capable")
    os.chown(root / "setuid", 33, 44)
    os.chown(root / "link", 7, 8, follow_symlinks=False)
    os.chown(root / "dir/sub", 1000, 1000)
    os.setxattr(root / "etc/motd", "user.note", b"\0binary\xff")
    os.setxattr(root / "dir", "user.empty", b"")
    os.setxattr(root / "dir", "trusted.note", b"root's")
    subprocess.run(["setcap", "cap_net_raw+ep", root / "capable"], check=True)
    subprocess.run(["setfacl", "-m", "u:1234:rwx,d:u:1234:rx", root / "dir/sub"], check=True)
    os.chmod(root / "setuid", 0o6755)
    os.chmod(root / "sticky", 0o1777)
    os.chmod(root / "dir/sub/deep", 0)
    for number, entry in enumerate(sorted(manifest(root), key=lambda entry: -entry.path.count("/"))):
        when = (1_500_000_000_000_000_000, 1_400_000_000_123_456_789 + number * DAY)
        os.utime(f"{root}/{entry.path or '.'}", ns=when, follow_symlinks=False)
