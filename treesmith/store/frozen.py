"""A tree in which what ran is frozen to disk (see launch.disk): until that goes on nobody else writes to it."""

import os

from treesmith.errors import BusyError
from treesmith.linux.remove import remove_tree

FOLDER, MAKING = "checkpoint", "checkpoint.new"


def settle(home: str, title: str) -> None:
    """For who is about to write to the tree: what a killed checkpoint left goes. BusyError: there is a whole one."""
    if os.path.lexists(f"{home}/{FOLDER}"):
        hint = f"treesmith launch --from-checkpoint {title}; or give that up: rm -r {home}/{FOLDER}"
        raise BusyError(f"what ran in {title} is frozen to disk", "it goes on in the tree as it is now", hint)
    remove_tree(f"{home}/{MAKING}")
