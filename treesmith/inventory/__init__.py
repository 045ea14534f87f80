"""The packages in a root, and what a step brought of them."""

from treesmith.inventory.alpine import alpine
from treesmith.inventory.arch import ARCH, arch, arch_archives
from treesmith.inventory.archives import Archive, archives, recorded
from treesmith.inventory.changes import added, changes
from treesmith.inventory.debian import debian, simulated
from treesmith.inventory.languages import (
    explained,
    node,
    node_archives,
    perl,
    python,
    python_archives,
    python_versions,
    ruby,
)
from treesmith.inventory.parts import Part, parts
from treesmith.inventory.rpm import rpm_archives

__all__ = [
    "ARCH", "Archive", "Part", "added", "alpine", "arch", "arch_archives", "archives", "changes", "debian", "explained",
    "node", "node_archives", "parts", "perl", "python", "python_archives", "python_versions", "recorded",
    "rpm_archives", "ruby", "simulated",
]  # fmt: skip
