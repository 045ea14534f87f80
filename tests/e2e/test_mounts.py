"""mount and umount: a tree on the host, for as long as somebody wants to look into it."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from command import Command, holder

from treesmith.store import Store, Tree, mounted

NOBODY = 65534


def row(place: str) -> list[str]:
    """mountinfo's line of the uppermost mount there; [] if there is none."""
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return next((line for line in reversed(lines) if line[4] == place), [])


def test_a_sealed_tree_is_mounted_read_only(treesmith: Command, base: Tree) -> None:
    place = treesmith("mount", "base").stdout.strip()
    options = row(place)[5].split(",")
    assert {"ro", "nosuid", "nodev"} <= set(options)
    assert os.path.exists(f"{place}/bin/busybox")
    with pytest.raises(OSError, match="Read-only"):
        Path(place, "x").touch()
    if "no path" in treesmith("path", "base", status=None).stderr:
        pytest.fail("a mounted tree has a path")
    treesmith("snapshot", "base", "web")
    treesmith("umount", "base")
    assert not row(place)
    assert not os.path.exists(place)


def test_a_writable_tree_is_locked_while_it_is_mounted(treesmith: Command, store: Store, base: Tree) -> None:
    treesmith("snapshot", "base", "web")
    place = treesmith("mount", "web").stdout.strip()
    Path(place, "made").write_text("on the host")
    assert {"rw", "nosuid", "nodev"} <= set(row(place)[5].split(","))
    for words in (["snapshot", "web", "copy"], ["rm", "web"], ["seal", "web"]):
        refused = treesmith(*words, status=1).stderr
        assert f"it is mounted on {place}" in refused
        assert "treesmith umount web" in refused
    assert "mounted already" in treesmith("mount", "web", status=1).stderr
    assert "in use" in treesmith("show", "web").stdout
    treesmith("umount", "web")
    treesmith("snapshot", "web", "copy")
    again = treesmith("mount", "copy").stdout.strip()
    assert Path(again, "made").read_text() == "on the host"
    treesmith("umount", again)


def test_a_directory_of_ones_own(treesmith: Command, base: Tree, tmp_path: Path) -> None:
    place = tmp_path / "a b\\c"
    refused = treesmith("mount", "base", str(place), status=2).stderr
    assert "is no directory" in refused
    place.mkdir()
    assert treesmith("mount", "base", f"{place}/../{place.name}").stdout == f"{place}\n"
    assert (place / "bin/sh").exists()
    assert "is not mounted by treesmith" in treesmith("umount", str(tmp_path), status=1).stderr
    treesmith("umount", str(place))
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("place", ["/", "{store}", "{store}/trees", "{store}/.."])
def test_a_mount_may_not_cover_the_store(treesmith: Command, store: Store, base: Tree, place: str) -> None:
    assert "nothing can be mounted on" in treesmith("mount", "base", place.format(store=store.path), status=2).stderr


def test_umount_is_refused_while_somebody_is_inside(treesmith: Command, base: Tree) -> None:
    place = treesmith("mount", "base").stdout.strip()
    fd = os.open(f"{place}/bin/sh", os.O_RDONLY)
    refused = treesmith("umount", "base", status=1).stderr
    assert f"base is in use on {place}" in refused
    assert row(place)
    os.close(fd)
    treesmith("umount", "base")


def test_the_holder_goes_with_the_mount(treesmith: Command, store: Store, base: Tree) -> None:
    place = treesmith("mount", "base").stdout.strip()
    pid = os.pidfd_open(holder(base))
    subprocess.run(["umount", place], check=True)
    gone(pid)
    assert not mounted.mounts()
    assert not store.in_use(base.id)


def gone(pidfd: int) -> None:
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED)  # an orphan is ours: tests/conftest.py
    os.close(pidfd)


def test_the_holder_unmounts_when_it_is_terminated(treesmith: Command, base: Tree) -> None:
    place = treesmith("mount", "base").stdout.strip()
    pid = os.pidfd_open(holder(base))
    signal.pidfd_send_signal(pid, signal.SIGTERM)
    gone(pid)
    assert not row(place)


def test_what_a_dead_holder_left_is_unmounted_before_the_tree_is_used(
    treesmith: Command, store: Store, base: Tree
) -> None:
    web = store.snapshot(base, "web")
    for words in (["snapshot", "web", "copy"], ["mount", "web"], ["rm", "-r", "web"]):
        place = treesmith("mount", "web").stdout.strip()
        pid = os.pidfd_open(holder(web))
        signal.pidfd_send_signal(pid, signal.SIGKILL)
        gone(pid)
        assert row(place)
        fd = os.open(f"{place}/bin/sh", os.O_RDONLY)
        assert f"in use on {place}" in treesmith(*words, status=1).stderr
        os.close(fd)
        treesmith(*words)
        if words[0] == "mount":
            treesmith("umount", "web")
        assert not row(place)
        assert not mounted.mounts()


def test_a_dead_holders_record_never_unmounts_what_is_not_its(
    treesmith: Command, store: Store, base: Tree, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    web = store.snapshot(base, "web")
    treesmith("mount", "web", str(place))
    pid = os.pidfd_open(holder(web))
    signal.pidfd_send_signal(pid, signal.SIGKILL)
    gone(pid)
    subprocess.run(["umount", str(place)], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "mine", str(place)], check=True)
    try:
        treesmith("snapshot", "web", "copy")
        assert row(str(place))[-3:-1] == ["tmpfs", "mine"]
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_nobody_else_may_look_in(treesmith: Command, base: Tree) -> None:
    place = treesmith("mount", "base").stdout.strip()
    looked = subprocess.run(["ls", place], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=False)
    treesmith("umount", "base")
    assert looked.returncode != 0
