"""What the kernel refuses to a program in a container, asked by the program; and the filters' programs on the host."""

import errno
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from launching import Trees

import treesmith
from treesmith.errors import Error
from treesmith.linux import seccomp
from treesmith.sandbox import filters
from treesmith.sandbox.sandbox import BOOTSTRAP, COMMAND, Sandbox

X86 = platform.machine() == "x86_64"
UNSHARE, IOCTL, SOCKET, KEYCTL, PERSONALITY, MOUNT = (272, 16, 41, 250, 135, 165) if X86 else (97, 29, 198, 219, 92, 40)
CLONE3, IO_URING_SETUP, OPEN_TREE = 435, 425, 428
GET_KEYRING_ID, SESSION = 0, -3 & 0xFFFFFFFF


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    return Trees(tmp_path_factory.mktemp("trees"))


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The option that brings it into a container, at /probe."""
    folder = tmp_path_factory.mktemp("probe")
    source = Path(__file__).parent / "probe.c"
    subprocess.run(["gcc", "-static", "-O", "-Wall", "-Werror", "-o", folder / "probe", source], check=True)
    return f"--bind={folder}/probe:/probe:ro"


@pytest.fixture
def cache() -> Iterator[Path]:
    """The folder of programs, empty."""
    folder = Path(filters.RUN)
    for file in folder.glob("*"):
        file.unlink()
    yield folder
    for file in folder.glob("*"):
        file.unlink()


def test_every_process_is_filtered(trees: Trees) -> None:
    for options in (), ("--user", "me"):
        said = trees.sh("grep -h ^Seccomp /proc/1/status /proc/self/status", *options)
        assert said.split() == ["Seccomp:", "2", "Seccomp_filters:", "2"] * 2


@pytest.mark.parametrize(("option", "answer"), [("--seccomp=on", "2"), ("--seccomp=off", "0")])
def test_who_enters_is_filtered_as_the_first(trees: Trees, option: str, answer: str) -> None:
    launched = trees.run("launch", "base", "-d", "--name", "entered", option, "--", "sleep", "1000")
    assert launched.returncode == 0, launched.stderr
    try:
        done = trees.run("enter", "entered", "--", "grep", "-h", "^Seccomp", "/proc/1/status", "/proc/self/status")
    finally:
        trees.run("stop", "--timeout", "0", "entered")
    assert done.stdout.split() == ["Seccomp:", answer, "Seccomp_filters:", answer] * 2, done


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ((UNSHARE, 1 << 28), errno.EPERM), ((UNSHARE, 1 << 17), errno.EPERM), ((UNSHARE, 0x400), "ok"),
        ((CLONE3, 0, 0), errno.ENOSYS), ((IO_URING_SETUP, 1, 0), errno.ENOSYS), ((9999,), errno.ENOSYS),
        ((IOCTL, 0, 0x5412, 0), errno.EPERM), ((IOCTL, 0, 0x1_0000_5412, 0), errno.EPERM),
        ((SOCKET, 40, 1), errno.EAFNOSUPPORT), ((SOCKET, 38, 5), errno.EAFNOSUPPORT),
        ((SOCKET, 16, 3, 9), errno.EAFNOSUPPORT), ((SOCKET, 16, 3, 0), "ok"), ((SOCKET, 2, 1), "ok"),
        ((KEYCTL, GET_KEYRING_ID, SESSION), errno.ENOSYS), ((PERSONALITY, 0x40000), errno.ENOSYS),
        ((PERSONALITY, 0xFFFFFFFF), "ok"), ((MOUNT, 0, 0, 0), errno.EPERM), ((OPEN_TREE, -100, 0, 1), errno.EPERM),
    ],
)  # fmt: skip
def test_a_call(trees: Trees, probe: str, call: tuple[int, ...], answer: object) -> None:
    assert trees.sh("/probe " + " ".join(map(str, call)), probe) == f"{answer}\n"


def test_a_filter_is_what_refuses(trees: Trees, probe: str) -> None:
    """And without it there are the calls that were refused above, which the kernel itself allows."""
    calls = ((UNSHARE, 1 << 28), (SOCKET, 16, 3, 9), (PERSONALITY, 0x40000), (KEYCTL, GET_KEYRING_ID, SESSION))
    script = "; ".join("/probe " + " ".join(map(str, call)) for call in calls)
    assert trees.sh(f"{script}; grep ^Seccomp: /proc/self/status", probe, "--seccomp=off").split() == [
        *["ok"] * 4, "Seccomp:", "0"
    ]  # fmt: skip


@pytest.mark.skipif(not X86, reason="there is no int 0x80")
def test_no_calls_of_another_architecture(trees: Trees, probe: str) -> None:
    assert trees.sh("/probe", probe) == f"{errno.ENOSYS}\n"


def test_a_session_keyring_of_its_own(trees: Trees, probe: str) -> None:
    """Its number, which each container is told of another."""
    inside = {trees.sh(f"/probe {KEYCTL} {GET_KEYRING_ID} {SESSION} 0 serial", probe, "--seccomp=off") for _ in "ab"}
    outside = subprocess.check_output(
        [probe.split("=")[1].split(":", maxsplit=1)[0], *map(str, (KEYCTL, 0, SESSION, 0, "serial"))]
    )
    assert len(inside) == 2 and "ok\n" not in inside
    assert outside.decode() not in inside


def test_a_word_that_is_none(trees: Trees) -> None:
    done = trees.run("launch", "base", "--seccomp", "of", "--", "true")
    assert done.returncode == 125
    assert "there are: on (the default), off" in done.stderr


def box(**options: object) -> Sandbox:
    return Sandbox(None, **options)  # type: ignore[arg-type]  # no view: nothing is started


def test_programs_are_kept(cache: Path) -> None:
    first = filters.find(box()).programs
    (kept,) = cache.iterdir()
    before = kept.stat()
    assert filters.find(box()).programs == first
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert (before.st_mode & 0o777, cache.stat().st_mode & 0o777, before.st_uid) == (0o600, 0o700, 0)


def test_each_policy_has_its_own(cache: Path) -> None:
    boxes = (box(), box(no_sync=True), box(capabilities=BOOTSTRAP))
    assert len({filters.find(each).programs for each in boxes}) == 3 == len(list(cache.iterdir()))
    assert filters.find(box(filtered=False)).programs == ()


@pytest.mark.parametrize("source", ["sandbox/policy.py", "sandbox/calls.py", "linux/seccomp.py"])
def test_another_policy_is_another_program(cache: Path, tmp_path: Path, source: str) -> None:
    """In a copy of the package: the program that is kept is not that of an older version."""
    copy = tmp_path / "copy"
    shutil.copytree(Path(treesmith.__file__).parent, copy / "treesmith")
    script = "from treesmith.sandbox import filters; from treesmith.sandbox.sandbox import Sandbox; "
    script += "filters.find(Sandbox(None))"
    for lines in range(2):
        for _ in range(2):
            subprocess.run([sys.executable, "-c", script], cwd=copy, check=True)
        assert len(list(cache.iterdir())) == lines + 1
        with open(copy / "treesmith" / source, "a") as file:
            file.write("# changed\n")


@pytest.mark.parametrize("harm", ["cut", "changed", "empty", "folder's owner", "writable", "link"])
def test_a_program_that_was_tampered_with_is_made_again(cache: Path, tmp_path: Path, harm: str) -> None:
    first = filters.find(box()).programs
    (kept,) = cache.iterdir()
    content = kept.read_bytes()
    if harm == "cut":
        kept.write_bytes(content[:-8])
    elif harm == "changed":
        kept.write_bytes(content[:-4] + b"\0\0\xff\x7f")
    elif harm == "empty":
        kept.write_bytes(b"")
    elif harm == "folder's owner":
        os.chown(kept, 65534, 65534)
    elif harm == "writable":
        kept.chmod(0o666)
    else:
        (tmp_path / "other").write_bytes(content)
        kept.unlink()
        kept.symlink_to(tmp_path / "other")
    assert filters.find(box()).programs == first
    (again,) = cache.iterdir()
    status = again.lstat()
    assert (again.read_bytes(), status.st_uid, status.st_mode) == (content, 0, 0o100600)


def test_without_the_library_it_refuses(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is kept already does not do: its version could not be told."""
    filters.find(box())
    monkeypatch.setattr(seccomp, "LIBRARY", "libtreesmith-none.so")
    with pytest.raises(Error) as caught:
        filters.find(box())
    assert "libseccomp2" in caught.value.hint and "--seccomp=off" in caught.value.hint
    assert filters.find(box(filtered=False)).programs == ()


def bounding(trees: Trees, *options: str) -> set[int]:
    mask = int(trees.sh("grep ^CapBnd /proc/self/status", *options).split()[1], 16)
    return {number for number in range(64) if mask >> number & 1}


def test_capabilities_are_added_and_dropped(trees: Trees) -> None:
    assert bounding(trees) == COMMAND
    assert bounding(trees, "--cap-drop", "chown", "--cap-drop", "CAP_KILL") == COMMAND - {0, 5}
    assert bounding(trees, "--cap-add", "NET_RAW", "--cap-add", "sys_nice") == COMMAND | {13, 23}
    assert bounding(trees, "--cap-drop", "all", "--cap-add", "setuid") == {7}
    assert bounding(trees, "--cap-drop", "ALL") == set()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--cap-add", "SYS_ADMN"), "did you mean SYS_ADMIN?"), (("--cap-drop", "qqq"), "capabilities(7)"),
        (("--cap-add", ""), "no such capability"), (("--cap-add", "all"), "no such capability"),
        (("--cap-add", "CHOWN", "--cap-drop", "CAP_CHOWN"), "CHOWN is both added and dropped"),
    ],
)  # fmt: skip
def test_capabilities_that_make_no_sense(trees: Trees, options: tuple[str, ...], said: str) -> None:
    done = trees.run("launch", "base", *options, "--", "true")
    assert done.returncode == 125 and said in done.stderr, done.stderr


def test_who_enters_has_the_same_capabilities(trees: Trees) -> None:
    name = trees.run("launch", "-q", "-d", "base", "--cap-drop", "all", "--", "sleep", "1000").stdout.strip()
    done = trees.run("enter", name, "--", "grep", "^Cap", "/proc/self/status")
    trees.run("stop", "--timeout", "0", name)
    assert set(done.stdout.split()[1::2]) == {"0" * 16}, done
