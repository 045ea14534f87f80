"""Walking a root, and comparing two: type, mode, owner, times, extended attributes, hard links, content."""

from treesmith.compare.differences import Difference, differences
from treesmith.compare.walk import Entry, walk

__all__ = ["Difference", "Entry", "differences", "walk"]
