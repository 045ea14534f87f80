"""A folder bound writable: what root inside makes of files there must be harmless to the host, where they are real."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from launching import Trees

SOURCE = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>
/* One way after the other to have a setuid, setgid or capable file in the working directory; says what worked. */
static void said(const char *way, long result) { if (result >= 0) puts(way); }
static void plain(const char *name) { close(open(name, O_CREAT | O_WRONLY, 0755)); }
int main(void)
{
    unsigned char capable[20] = {1, 0, 0, 2, 2};
    struct { unsigned long long flags, mode, resolve; } how = {O_CREAT | O_WRONLY, 04755, 0};
    struct { long long fd; char name[4088]; } snapshot = {open("/", O_RDONLY), "snapshot"};
    umask(0);
    for (int bit = 02000; bit <= 04000; bit *= 2) {
        plain("a"), said("chmod", chmod("a", bit | 0755));
        plain("b"), said("fchmod", fchmod(open("b", O_RDONLY), bit | 0755));
        plain("c"), said("fchmodat", fchmodat(AT_FDCWD, "c", bit | 0755, 0));
        plain("d"), said("fchmodat2", syscall(452, AT_FDCWD, "d", bit | 0755, 0));
        said("open", open("e", O_CREAT | O_WRONLY, bit | 0755));
        said("openat", openat(AT_FDCWD, "f", O_CREAT | O_WRONLY, bit | 0755));
        said("creat", creat("g", bit | 0755));
        said("mknod", mknod("h", S_IFREG | bit | 0755, 0));
        said("mknodat", mknodat(AT_FDCWD, "i", S_IFREG | bit | 0755, 0));
        said("tmpfile", open(".", O_TMPFILE | O_WRONLY, bit | 0755));
        for (char name[2] = "e"; name[0] <= 'i'; name[0]++) unlink(name);
    }
    said("openat2", syscall(SYS_openat2, AT_FDCWD, "j", &how, sizeof how));
    plain("k"), said("capability", setxattr("k", "security.capability", capable, sizeof capable, 0));
    said("link", link("/setuid", "l"));
    said("rename", rename("/setuid", "m"));
    said("snapshot", ioctl(open(".", O_RDONLY), 0x50009401, &snapshot));
    said("node", mknod("n", S_IFCHR | 0666, 0x103));
    puts("tried");
    return 0;
}
"""


@pytest.fixture(scope="module")
def tries(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The option that brings the program into a container, at /tries."""
    folder = tmp_path_factory.mktemp("tries")
    (folder / "tries.c").write_text(SOURCE)
    subprocess.run(["gcc", "-static", "-O", "-o", folder / "tries", folder / "tries.c"], check=True)
    return f"--bind={folder}/tries:/tries:ro"


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o777)
    yield folder
    shutil.rmtree(folder)


def harmful(folder: Path) -> list[str]:
    """What in it another user of the host gains something by."""
    found = []
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if mode & 0o6000 or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or "security.capability" in os.listxattr(
            path, follow_symlinks=False
        ):  # fmt: skip
            found.append(path.name)
    return sorted(found)


WAYS = ["chmod", "fchmod", "fchmodat", "open", "openat", "creat", "mknod", "mknodat", "tmpfile"]


def test_no_setuid_file_gets_out(trees: Trees, tree: str, tries: str, shared: Path) -> None:
    script = "cp /bin/busybox /setuid; cd /data; /tries"
    assert trees.sh(script, tries, f"--bind={shared}:/data", tree=tree) == "tried\n"
    assert harmful(shared) == []
    assert len(os.listdir(shared)) == 5  # the plain ones


def test_where_it_is_allowed_it_works(trees: Trees, tree: str, tries: str, shared: Path) -> None:
    """So it is the filter and the capability that refuse above."""
    said = trees.sh("cp /bin/busybox /setuid; cd /data; /tries", tries, f"--bind={shared}:/data:suid", tree=tree)
    assert set(WAYS) | {"openat2", "capability"} <= set(said.split())
    assert not {"link", "rename", "node"} & set(said.split())
    assert {"a", "k"} <= set(harmful(shared))


def test_who_enters_is_held_to_it_too(trees: Trees, tries: str, shared: Path) -> None:
    launched = trees.run("launch", "-q", "base", "-d", tries, f"--bind={shared}:/data", "--", "sleep", "1000")
    assert launched.returncode == 0, launched.stderr
    name = launched.stdout.strip()
    done = trees.run("enter", name, "--chdir", "/data", "--", "/tries")
    trees.run("stop", "--timeout", "0", name)
    assert (done.stdout, harmful(shared)) == ("tried\n", [])


@pytest.mark.parametrize("word", ["ro", "noidmap"])
def test_other_binds_change_nothing(trees: Trees, tree: str, tries: str, shared: Path, word: str) -> None:
    """Where root inside is nobody on the host's side, or writes nothing, setuid programs can be installed."""
    said = trees.sh("touch /setuid; cd /tmp; /tries", tries, f"--bind={shared}:/data:{word}", tree=tree).split()
    assert set(WAYS) <= set(said)
    assert os.listdir(shared) == []


def test_a_file_that_is_setuid_already_loses_it_when_written(trees: Trees, shared: Path) -> None:
    (shared / "old").write_bytes(b"old")
    (shared / "old").chmod(0o6755)
    trees.sh("echo new >> /data/old", f"--bind={shared}:/data")
    assert harmful(shared) == []


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--seccomp=off", "--seccomp off does not go with a writable --bind"),
        ("--cap-add=setfcap", "--cap-add SETFCAP does not go with a writable --bind"),
        ("--cap-add=SYS_ADMIN", "--cap-add SYS_ADMIN does not go with a writable --bind"),
    ],
)
def test_what_would_undo_it_is_refused(trees: Trees, shared: Path, option: str, said: str) -> None:
    done = trees.run("launch", "-q", "base", option, f"--bind={shared}:/data", "--", "true")
    assert done.returncode == 125 and said in done.stderr and ":/data" in done.stderr
    for word in ("ro", "noidmap", "suid"):
        assert trees.run("launch", "-q", "base", option, f"--bind={shared}:/data:{word}", "--", "true").returncode == 0
