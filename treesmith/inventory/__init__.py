"""The packages in a root, and what a step brought of them."""

from treesmith.inventory.arch import arch
from treesmith.inventory.archives import Archive, archives, recorded
from treesmith.inventory.changes import added, changes
from treesmith.inventory.debian import debian
from treesmith.inventory.languages import node, node_archives, perl, python, python_archives, ruby

__all__ = [
    "Archive", "added", "arch", "archives", "changes", "debian", "node", "node_archives", "perl", "python",
    "python_archives", "recorded", "ruby",
]  # fmt: skip
