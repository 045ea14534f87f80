"""Making one overlay layer of several that no tree needs apart."""

import os

from treesmith.backends.measure import on_disk
from treesmith.backends.merge import entries, merge
from treesmith.backends.runs import runs
from treesmith.linux.file import syncfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from treesmith.backends.contract import Layout, Root


class Line:
    """A contract.Compaction. line: the layers, topmost first; below: those that they stand on."""

    __slots__ = ("_below", "_layers", "_line", "bytes", "trees", "what")

    def __init__(self, layers: str, trees: "list[str]", line: "list[str]", below: "list[str]") -> None:
        self.trees = trees
        self.what = f"{len(line)} layers"
        self._layers, self._line, self._below = layers, line, below
        left, seen = 0, set()
        for entry in entries(self._roots(line), self._roots(below)):
            if entry.is_folder or entry.status.st_ino not in seen:
                left += entry.status.st_blocks * 512
                seen.add(entry.status.st_ino)
        self.bytes = max(on_disk([f"{layers}/{lid}" for lid in line]) - left, 0)

    def make(self, id: str) -> None:
        made = f"{self._layers}/{id}-0"
        os.makedirs(f"{made}/work", 0o755)
        merge(self._roots(self._line), self._roots(self._below), f"{made}/fs")
        folder = os.open(self._layers, os.O_RDONLY | os.O_DIRECTORY)
        try:
            syncfs(folder)  # one by one would be an fsync for each of thousands of directories
        finally:
            os.close(folder)

    def after(self, id: str, layout: "Layout") -> "Layout | None":
        layers, line = layout["layers"], self._line
        at = layers.index(line[0]) if line[0] in layers else len(layers)
        if layers[at : at + len(line)] != line:
            return None
        return {"layers": [*layers[:at], f"{id}-0", *layers[at + len(line) :]], "upper": layout["upper"]}

    def _roots(self, lids: "list[str]") -> "list[str]":
        return [f"{self._layers}/{lid}/fs" for lid in lids]


def compactions(layers: str, live: "list[Root]", busy: "Collection[str]") -> "Iterator[Line]":
    """Every line of layers that only stand together, and that no tree in `busy` holds. layers: the folder of them."""
    fixed = {lid for root in live if root.id in busy for lid in root.layout["layers"]}
    holders: dict[str, list[Root]] = {}
    for root in live:
        for lid in root.layout["layers"]:
            holders.setdefault(lid, []).append(root)
    for line in runs((root.layout["layers"] for root in live), fixed):
        stack = holders[line[0]][0].layout["layers"]
        below = stack[stack.index(line[-1]) + 1 :]
        yield Line(layers, [root.id for root in holders[line[0]]], line, below)
