"""What trees of overlay layers take."""

from treesmith.backends.measure import on_disk
from treesmith.backends.merge import entries
from treesmith.backends.values import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from treesmith.backends.contract import Root


class Shares:
    """A contract.Meter, which looks at each layer once, however many trees have it."""

    def __init__(self, layers: str, live: "Iterable[Root]") -> None:
        self._layers = layers
        self._holders: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        for root in live:
            for lid in _all(root):
                self._holders[lid] = self._holders.get(lid, 0) + 1

    def usage(self, root: "Root") -> Usage:
        exclusive = shared = 0
        for lid in _all(root):
            if self._holders.get(lid, 0) > 1:
                shared += self._size(lid)
            else:
                exclusive += self._size(lid)
        return Usage(exclusive, shared, None)

    def whole(self, root: "Root") -> Usage:
        usage, seen = self.usage(root), set()
        usage.apparent = 0
        for entry in entries([f"{self._layers}/{lid}/fs" for lid in _all(root)], []):
            if entry.is_folder or entry.status.st_ino not in seen:
                usage.apparent += entry.status.st_blocks * 512
                seen.add(entry.status.st_ino)
        return usage

    def gone(self, root: "Root") -> None:
        for lid in _all(root):
            self._holders[lid] -= 1

    def _size(self, lid: str) -> int:
        if lid not in self._sizes:
            self._sizes[lid] = on_disk([f"{self._layers}/{lid}"])
        return self._sizes[lid]


def _all(root: "Root") -> "list[str]":
    return [lid for lid in (root.layout["upper"], *root.layout["layers"]) if lid]
