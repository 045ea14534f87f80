"""Many trees: a store of 10,000, and one of 10 to hold it against."""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from grow import crowd

from treesmith.store import open_store

FEW, MANY = 10, 10_000


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
