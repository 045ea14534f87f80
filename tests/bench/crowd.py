"""Many trees: what a store of 10,000 costs beside one of 10, and what a snapshot costs that nobody writes to."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import filesystems
from forest import opened
from grow import crowd

from treesmith.errors import Error
from treesmith.store import create_store, open_store

FEW, MANY = 10, 10_000
IDLE = 20
GROUND = {"overlay": "ext4", "copy": "xfs", "btrfs": "btrfs"}


def stores(folder: Path) -> dict[int, str]:
    """Copies of the bench's own store with so many trees in all; their paths."""
    made = {}
    for count in (FEW, MANY):
        path = str(folder / f"crowd-{count}")
        subprocess.run(["cp", "-a", "--reflink=auto", os.environ["TREESMITH_STORE"], path], check=True)
        store = open_store(path)
        crowd(store, count - len(store.trees()), "debian-base")
        made[count] = path
    return made


def idle(folder: Path, tree: Path) -> dict[str, float]:
    """backend@filesystem -> KiB on disk for one more snapshot of a tree like `tree`."""
    found = {}
    for backend, filesystem in GROUND.items():
        ground = folder / backend
        ground.mkdir()
        with getattr(filesystems, filesystem)(ground, 4096 << 20) as mounted:
            try:
                store = create_store(str(mounted / "store"), backend)
            except Error as error:
                print(f"{backend}@{filesystem}: left out: {error.brief}")
                continue
            with store.stage() as stage:
                stage.create()
                with opened(store, stage) as root:
                    subprocess.run(["cp", "-a", f"{tree}/.", f"{root}/"], check=True)
                base = store.publish(stage, "build", "base", sealed=True)
            before = _used(mounted)
            for number in range(IDLE):
                store.snapshot(base, f"n{number}")
            found[f"{backend}@{filesystem}"] = (_used(mounted) - before) / IDLE / 1024
        shutil.rmtree(ground)
    return found


def _used(place: Path) -> int:
    subprocess.run(["sync", "-f", place], check=True)
    status = os.statvfs(place)
    return (status.f_blocks - status.f_bfree) * status.f_frsize
