"""Trees that mean harm: whatever stands at the paths that a launch touches, the host is untouched."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import roots
from launching import Trees

ROOT = Path("/bin/busybox")


@pytest.fixture
def decoy() -> Iterator[Path]:
    """A folder of the host that must stay as it is; links in trees lead to its very path."""
    folder = Path(tempfile.mkdtemp(prefix="treesmith-decoy-"))
    (folder / "passwd").write_text("spy:x:77:77::/:/bin/sh\n")
    (folder / "group").write_text("spies:x:78:\n")
    (folder / "file").write_text("content\n")
    (folder / "empty").mkdir()
    before = state(folder)
    yield folder
    after = state(folder)
    shutil.rmtree(folder)
    assert after == before


def state(folder: Path) -> dict[str, tuple[int, int, str]]:
    found = {}
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, digest)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return roots.busybox(tmp_path / "root")


def launch(trees: Trees, root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """In a tree made of `root`, once as a plain root and once as an overlay: they must agree."""
    trees.add("hostile", root)
    try:
        plain, overlay = (trees.run("launch", "-q", *option, "hostile", *words) for option in ((), ("--ephemeral",)))
    finally:
        trees.store.remove([trees.store.find("hostile")])
    assert (plain.returncode, plain.stdout) == (overlay.returncode, overlay.stdout), (plain, overlay)
    assert "Traceback" not in plain.stderr
    return plain


KINDS = ("link to the host", "relative link", "dangling link", "loop", "file", "fifo", "socket")


def put(path: Path, kind: str, decoy: Path) -> None:
    """Something that is no folder, where one belongs."""
    if kind == "link to the host":
        path.symlink_to(decoy)
    elif kind == "relative link":
        path.symlink_to(f"../../../../../../..{decoy}/empty")
    elif kind == "dangling link":
        path.symlink_to("/nowhere/at/all")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "file":
        path.touch()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        os.mknod(path, 0o140644)


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
@pytest.mark.parametrize("kind", KINDS)
def test_dev_proc_sys_are_no_folders(trees: Trees, root: Path, decoy: Path, name: str, kind: str) -> None:
    put(root / name, kind, decoy)
    done = launch(trees, root, "--", "true")
    assert done.returncode == 125
    assert f"/{name} of the tree is not a folder" in done.stderr


@pytest.mark.parametrize("name", ["etc", "run", "tmp"])
@pytest.mark.parametrize("kind", KINDS)
def test_folders_that_are_none(trees: Trees, root: Path, decoy: Path, name: str, kind: str) -> None:
    """Files of ours are laid into /etc, memory over /run and /tmp; also where a plain user is let in."""
    path = root / name
    shutil.rmtree(path, ignore_errors=True)
    put(path, kind, decoy)
    chroot = (("--isolation=chroot", "--user=1000:1000"),) if name == "etc" else ()
    for options in (("--network=host",), *chroot):
        done = launch(trees, root, "--read-only", *options, "--", "/bin/busybox", "echo", "up")
        if done.returncode:
            assert done.returncode == 125 and f"/{name}" in done.stderr and "of the tree" in done.stderr, done
        else:
            assert done.stdout == "up\n"


def test_etc_leads_out(trees: Trees, root: Path, decoy: Path) -> None:
    """The host's files at that path are nobody's users; the resolver is laid inside or nowhere."""
    shutil.rmtree(root / "etc")
    (root / "etc").symlink_to(decoy)
    assert launch(trees, root, "--user", "spy", "--", "id").returncode == 125
    done = launch(trees, root, "--network", "host", "--", "sh", "-c", "cat /etc/resolv.conf | wc -l")
    assert (done.returncode, done.stdout) in ((0, f"{len(resolver())}\n"), (125, ""))


def resolver() -> list[str]:
    return Path("/etc/resolv.conf").read_text().splitlines()


@pytest.mark.parametrize("kind", ["link to the host", "dangling link", "fifo", "folder", "magic link", "loop", "node"])
def test_resolv_conf(trees: Trees, root: Path, decoy: Path, kind: str) -> None:
    path = root / "etc/resolv.conf"
    if kind == "link to the host":
        path.symlink_to(decoy / "file")
    elif kind == "dangling link":
        path.symlink_to("../run/systemd/resolve/stub-resolv.conf")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "magic link":
        path.symlink_to(f"/proc/self/root{decoy}/file")
    elif kind == "loop":
        path.symlink_to("resolv.conf")
    else:
        os.mknod(path, 0o020666, os.makedev(1, 11))
    done = launch(trees, root, "--network", "host", "--", "cat", "/etc/resolv.conf")
    if done.returncode:
        assert done.returncode == 125 and "resolv.conf" in done.stderr
    else:
        assert done.stdout.splitlines() == resolver()
    works = {"link to the host", "dangling link", "fifo", "node"}
    assert (done.returncode == 0) == (kind in works)


@pytest.mark.parametrize("name", ["passwd", "group", "hosts"])
@pytest.mark.parametrize("kind", ["fifo", "link", "folder", "garbage", "huge", "node"])
def test_files_that_are_read(trees: Trees, root: Path, decoy: Path, name: str, kind: str) -> None:
    path = root / "etc" / name
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(decoy / name)
    elif kind == "folder":
        path.mkdir()
    elif kind == "garbage":
        path.write_bytes(bytes(range(256)) * 100 + b"\nroot:x:y:z\n::::::\nroot:x:99999999999999999999:0:::\n")
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    else:
        os.mknod(path, 0o020666, os.makedev(1, 5))
    done = launch(trees, root, "--", "sh", "-c", "echo up")
    assert done.returncode in (0, 125)
    assert launch(trees, root, "--user", "spy:spies", "--", "true").returncode == 125


@pytest.mark.parametrize("target", ["/data", "/data/below", "/data/a/b/c"])
def test_bind_targets_lead_out(trees: Trees, root: Path, decoy: Path, tmp_path: Path, target: str) -> None:
    (root / "data").symlink_to(decoy)
    (tmp_path / "source").mkdir()
    done = launch(trees, root, "--bind", f"{tmp_path}/source:{target}", "--", "true")
    assert done.returncode in (0, 125)


def test_no_shell(trees: Trees, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    done = launch(trees, tmp_path / "root")
    assert done.returncode == 127
    assert "/bin/sh: not found" in done.stderr


def test_a_root_without_anything_but_the_program(trees: Trees, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    shutil.copy("/bin/busybox", tmp_path / "root/busybox")
    done = launch(trees, tmp_path / "root", "--", "/busybox", "echo", "yes")
    assert (done.returncode, done.stdout) == (0, "yes\n")


def test_working_directories_that_lead_out(trees: Trees, root: Path, decoy: Path) -> None:
    (root / "out").symlink_to(decoy)
    (root / "magic").symlink_to("/proc/1/root")
    (root / "up").symlink_to("../../../../../..")
    assert launch(trees, root, "--chdir", "/out", "--", "ls").returncode == 125
    assert launch(trees, root, "--chdir", "/magic", "--", "ls").returncode == 125
    assert launch(trees, root, "--chdir", "/up", "--", "pwd").stdout == "/\n"


def test_the_commands_own_path_leads_out(trees: Trees, root: Path) -> None:
    (root / "out").symlink_to("/usr/bin/env")
    assert launch(trees, root, "--", "/out").returncode == 127


def test_devices_that_the_tree_prepares(trees: Trees, root: Path) -> None:
    """Our /dev lies over the tree's own, and nothing in that is followed (CVE-2025-31133, CVE-2025-52565)."""
    (root / "dev/pts").mkdir(parents=True)
    for name in ("null", "console", "ptmx", "pts/0", "pts/ptmx"):
        (root / "dev" / name).symlink_to("/proc/sys/kernel/core_pattern")
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    done = launch(trees, root, "--tty", "--", "sh", "-c", "echo bad > /dev/null; ls -l /dev/null | cut -c1; tty")
    assert done.stdout.split() == ["c", "/dev/pts/0"]
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def test_names_that_are_no_text(trees: Trees, root: Path) -> None:
    (root / os.fsdecode(b"bin/\xff\xfe")).symlink_to("busybox")
    shutil.copy(root / "bin/busybox", root / os.fsdecode(b"bin/b\xff"))
    done = subprocess.run(
        [*map(os.fsencode, trees.argv("launch", "-q", "base", "--")), b"/bin/\xff"],
        env=trees.environment, stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 127


@pytest.mark.parametrize("command", [("--", "/bin/sh"), ("--", "/bin/true"), ()])
def test_another_architecture(trees: Trees, root: Path, command: tuple[str, ...]) -> None:
    """Programs that this machine's kernel cannot execute, the shell among them."""
    (root / "bin/busybox").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00" + bytes(4000))  # RISC-V
    done = launch(trees, root, *command)
    assert done.returncode == 126 and "it is for a machine of another kind" in done.stderr, done
