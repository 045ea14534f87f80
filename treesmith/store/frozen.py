"""A tree in which what ran is frozen to disk (see launch.disk): until that goes on nobody else writes to it."""

import os

from treesmith.errors import BusyError
from treesmith.linux.remove import remove_tree
from treesmith.store import records
from treesmith.store.records import CHECKPOINT, CHECKPOINTING


def settle(home: str, title: str) -> None:
    """For who is about to write to the tree: what a killed checkpoint left goes. BusyError: there is a whole one."""
    if os.path.lexists(f"{home}/{CHECKPOINT}"):
        hint = f"treesmith launch --from-checkpoint {title}; or give that up: rm -r {home}/{CHECKPOINT}"
        raise BusyError(f"what ran in {title} is frozen to disk", "it goes on in the tree as it is now", hint)
    remove_tree(f"{home}/{CHECKPOINTING}")


def pass_on(source: str, target: str) -> None:
    """From one tree's home to that of its copy, in which it goes on as well: the files never change."""
    there = f"{target}/{CHECKPOINT}"
    remove_tree(there)
    if os.path.lexists(f"{source}/{CHECKPOINT}"):
        import shutil

        shutil.copytree(f"{source}/{CHECKPOINT}", there, copy_function=_same)
        records.sync_folder(there)


def _same(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another filesystem
        import shutil

        shutil.copy2(source, target)
