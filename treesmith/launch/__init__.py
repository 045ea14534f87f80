"""Starting a command in a tree of the store, and staying beside it until it ends."""

from treesmith.launch.supervise import attend, join, launch

__all__ = ["attend", "join", "launch"]
