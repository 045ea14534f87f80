"""A snapshot beside the filesystem's own operation, and what one takes on disk that nobody writes to.

`native.py zfs FOLDER` is for where there is ZFS: in the guest.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import filesystems
from forest import opened
from rivals import sh
from timing import table, times

from treesmith.store import Store, Tree, create_store

IDLE = 20
GROUND = {"overlay": "ext4", "copy": "xfs", "btrfs": "btrfs", "zfs": "zfs"}


def beside(folder: Path, tree: Path, backend: str) -> None:
    """Of a tree like `tree`, on a filesystem of its own below `folder`."""
    with ground(folder, backend) as place:
        store, base = planted(place, tree, backend)
        before = _used(place)
        for number in range(IDLE):
            store.snapshot(base, f"n{number}")
        each = (_used(place) - before) / IDLE / 1024
        # What is removed first is not there the first time: here, and below.
        ours = f"treesmith --store {store.path}"
        commands = {
            "treesmith snapshot": (f"sh -c '{ours} rm -q s 2>/dev/null || true'", f"{ours} snapshot base s"),
            **_native(store, place, tree, backend),
            "python -c pass": ("", f"{sys.executable} -c pass"),
        }
        table(f"snapshot, {backend} on {GROUND[backend]}", times(commands))
        print(f"  {'on disk, while nobody writes to it':<44}{each:>10.1f} KiB")


@contextmanager
def ground(folder: Path, backend: str) -> Iterator[Path]:
    """The filesystem that a backend is measured on."""
    place = folder / f"on-{GROUND[backend]}"
    place.mkdir()
    with getattr(filesystems, GROUND[backend])(place, 2048 << 20) as mounted:
        yield mounted
    shutil.rmtree(place)


def planted(place: Path, tree: Path, backend: str) -> tuple[Store, Tree]:
    """A store with a sealed tree like `tree`."""
    store = create_store(str(place / "store"), backend)
    with store.stage() as stage:
        stage.create()
        with opened(store, stage) as root:
            subprocess.run(["cp", "-a", f"{tree}/.", f"{root}/"], check=True)
        return store, store.publish(stage, "build", "base", sealed=True)


def subvolume(place: Path, tree: Path) -> str:
    """The same without a store, on btrfs."""
    source = f"{place}/source"
    sh(f"btrfs subvolume create {source} && cp -a {tree}/. {source}")
    return source


def _native(store: Store, place: Path, tree: Path, backend: str) -> dict[str, tuple[str, str]]:
    source, copy = f"{place}/source", f"{place}/native"
    if backend == "copy":
        sh(f"cp -a {tree} {source}")
        return {"cp -a --reflink=always": (f"rm -rf {copy}", f"cp -a --reflink=always {source} {copy}")}
    if backend == "btrfs":
        source = subvolume(place, tree)
        delete = f"sh -c 'test ! -e {copy} || btrfs -q subvolume delete {copy}'"
        return {"btrfs subvolume snapshot": (delete, f"btrfs -q subvolume snapshot {source} {copy}")}
    if backend == "zfs":
        pool = "treesmith-test"
        sh(f"zfs create -o mountpoint=legacy {pool}/source && zfs snapshot {pool}/source@now")
        destroy = f"sh -c 'zfs destroy {pool}/native 2>/dev/null || true'"
        return {"zfs clone": (destroy, f"zfs clone {pool}/source@now {pool}/native")}
    return {}  # two directories and a record: no program makes such


def _used(place: Path) -> int:
    subprocess.run(["sync", "-f", place], check=True)
    if os.path.exists("/dev/zfs"):
        subprocess.run(["zpool", "sync"], check=True)
    status = os.statvfs(place)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


if __name__ == "__main__":
    beside(Path(sys.argv[2]), Path("/etc"), sys.argv[1])
