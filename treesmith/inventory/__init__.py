"""The packages in a root, and what a step brought of them."""

from treesmith.inventory.arch import arch
from treesmith.inventory.changes import added, changes
from treesmith.inventory.debian import debian
from treesmith.inventory.languages import node, perl, python, ruby

__all__ = ["added", "arch", "changes", "debian", "node", "perl", "python", "ruby"]
