"""Walking a root, comparing two, and making one like another.

In type, mode, owner, times, extended attributes, hard links, content.
"""

from treesmith.compare.differences import Difference, differences
from treesmith.compare.imitate import imitate
from treesmith.compare.walk import Entry, walk

__all__ = ["Difference", "Entry", "differences", "imitate", "walk"]
