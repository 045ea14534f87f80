"""Roots as stacks of overlay layers: a fork is a new, empty layer on top. Works on any filesystem that can be an upper.

Layout: {"layers": [LID, topmost first], "upper": LID or null}. A LID is the id of the tree that was being made and a
number: while its staging lock is held, its layers are nobody's orphans. See merged.py for the mounts.

A snapshot makes no system call of our own: what imports those (1.5 ms) is imported where it is needed.
"""

import os

from treesmith.backends.folders import imitate, is_folder
from treesmith.backends.values import Fork, Traits
from treesmith.names import is_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from treesmith.backends.contract import Compaction, Layout, Meter, Mode, Root
    from treesmith.sandbox.view import View

# A failed lookup costs 8 us at a small depth and 128 us at 100 layers; and Linux 6.1 takes 64 short names at most.
MAX_DEPTH = 60
_VOLATILE = "work/work/incompat"  # Documentation/filesystems/overlayfs.rst, "Volatile mount"


class Overlay:
    name = "overlay"

    def __init__(self, store: str) -> None:
        self._store = store
        self._layers = f"{store}/layers"
        self.traits = Traits(
            idmap=True, live="freeze", keeps_links=False, renames_dirs=False, host_path=False, max_depth=MAX_DEPTH
        )

    def probe(self) -> Traits:
        from treesmith.backends.probe import can_idmap, can_overlay, room

        with room(self._store) as folder:
            can_overlay(folder)
            self.traits.idmap = can_idmap(folder)
        return self.traits

    def create(self, id: str, home: str) -> "Layout":
        upper = f"{id}-0"
        self._make(upper, "")
        return {"layers": [], "upper": upper}

    def fork(self, source: "Root", id: str, home: str, throwaway: bool = False, running: bool = False) -> Fork:
        layers: list[str] = source.layout["layers"]
        upper: str | None = source.layout["upper"]
        if running and upper:
            return self._copied(upper, layers, id)
        lowers = [upper, *layers] if upper else layers
        top = f"{self._layers}/{lowers[0]}/fs"
        if len(lowers) >= MAX_DEPTH:
            return self._flattened(source, id, throwaway)
        child = f"{id}-0"
        self._make(child, top)
        changed: Layout | None = None
        if upper and not throwaway:
            # What was the source's upper is shared from now on, so the source needs a new one too.
            self._make(f"{id}-1", top)
            changed = {"layers": lowers, "upper": f"{id}-1"}
            self._sync(f"{id}-1")
        return Fork(changed, {"layers": lowers, "upper": child}, False)

    def seal(self, root: "Root") -> "Layout":
        upper = root.layout["upper"]
        return {"layers": [upper, *root.layout["layers"]] if upper else root.layout["layers"], "upper": None}

    def keep(self, root: "Root") -> None:
        upper = root.layout["upper"]
        if upper:
            self._sync(upper)

    def flush(self, root: "Root") -> None:
        from treesmith.linux.file import syncfs

        upper = root.layout["upper"]
        folder = os.open(self._layers, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if upper:
                self._forget_volatile(upper)
            syncfs(folder)  # file by file would be an fsync for each of thousands
        finally:
            os.close(folder)

    def open(self, root: "Root", mode: "Mode") -> "View":
        from treesmith.backends.merged import Merged
        from treesmith.backends.plain import Plain

        upper: str | None = root.layout["upper"]
        lowers: list[str] = root.layout["layers"]
        if mode == "ro" and upper:
            lowers, upper = [upper, *lowers], None
        if mode == "ro" or not upper:
            return Plain(f"{self._layers}/{lowers[0]}/fs", True) if len(lowers) == 1 else Merged(self._layers, lowers)
        if not lowers:
            return Plain(f"{self._layers}/{upper}/fs", False)
        if mode == "ephemeral":
            self._forget_volatile(upper)
        return Merged(self._layers, lowers, upper, mode == "ephemeral")

    def discard(self, root: "Root") -> None:
        from treesmith.linux.remove import remove_tree

        # Its own layers only: the second one of a fork belongs to the source if the source's record says so.
        for lid in (root.layout.get("upper"), *root.layout.get("layers", ())):
            if lid and lid.startswith(f"{root.id}-"):
                remove_tree(f"{self._layers}/{lid}")
        remove_tree(root.home)

    def orphans(self, live: "Iterable[Root]", making: "frozenset[str]") -> "list[str]":
        used = set()
        for root in live:
            used.update(root.layout["layers"])
            used.add(root.layout["upper"])
        return [
            f"{self._layers}/{lid}"
            for lid in sorted(os.listdir(self._layers))
            if _is_lid(lid) and lid not in used and lid.partition("-")[0] not in making
        ]

    def faults(self, root: "Root") -> "list[str]":
        layers, upper = root.layout.get("layers"), root.layout.get("upper")
        lids = [*layers, *([upper] if upper else [])] if isinstance(layers, list) else []
        if not lids or not all(isinstance(lid, str) and _is_lid(lid) for lid in lids):
            return ["its layout names no layers"]
        needed = [*(f"{lid}/fs" for lid in lids), *([f"{upper}/work"] if upper else [])]
        return [f"layer {path} is missing" for path in needed if not is_folder(f"{self._layers}/{path}")]

    def set_aside(self, orphan: str, folder: str) -> None:
        os.rename(orphan, f"{folder}/{os.path.basename(orphan)}")

    def clear(self, path: str) -> None:
        from treesmith.linux.remove import remove_tree

        remove_tree(path)

    def reclaimable(self, path: str) -> "int | None":
        from treesmith.backends.measure import on_disk

        return on_disk([path])

    def added(self, root: "Root", source: "Root | None") -> "int | None":
        from treesmith.backends.measure import on_disk

        own = [root.layout["upper"], *(() if source else root.layout["layers"])]
        return on_disk([f"{self._layers}/{lid}/fs" for lid in own if lid])

    def measure(self, live: "Iterable[Root]") -> "Meter":
        from treesmith.backends.shares import Shares

        return Shares(self._layers, live)

    def compactions(self, live: "Iterable[Root]", busy: "Collection[str]") -> "list[Compaction]":
        from treesmith.backends.compact import compactions

        return list(compactions(self._layers, list(live), busy))

    def _make(self, lid: str, like: str) -> None:
        """An empty layer, whose root has the owner, mode, times and xattrs of the directory `like`."""
        path = f"{self._layers}/{lid}"
        os.mkdir(path, 0o755)
        os.mkdir(f"{path}/work", 0o755)
        os.mkdir(f"{path}/fs", 0o755)
        for folder in (path, f"{path}/work", f"{path}/fs"):
            os.chmod(folder, 0o755)
        if like:
            imitate(f"{path}/fs", like)

    def _sync(self, lid: str) -> None:
        """Make an empty layer durable."""
        for path in (f"{self._layers}/{lid}/fs", f"{self._layers}/{lid}", self._layers):
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _forget_volatile(self, upper: str) -> None:
        """A volatile mount leaves a marker so that nobody trusts the layer after a crash. There was none: what is being
        made does not outlive one, and a flush makes the rest durable."""
        from treesmith.linux.remove import remove_tree

        remove_tree(f"{self._layers}/{upper}/{_VOLATILE}")

    def _copied(self, upper: str, layers: "list[str]", id: str) -> Fork:
        """A fork beside one that is mounted: with a copy of its upper as it lies, whiteouts and marks and all."""
        from treesmith.backends.copy import copy_tree

        child = f"{id}-0"
        os.makedirs(f"{self._layers}/{child}/work", 0o755)
        copy_tree(f"{self._layers}/{upper}/fs", f"{self._layers}/{child}/fs")
        return Fork(None, {"layers": layers, "upper": child}, True)

    def _flattened(self, source: "Root", id: str, throwaway: bool) -> Fork:
        """A fork whose one lower layer is a copy of everything."""
        from treesmith.backends.copy import copy_tree

        base, child = f"{id}-0", f"{id}-1"
        os.mkdir(f"{self._layers}/{base}", 0o755)
        view = self.open(source, "ro")
        try:
            root = view.mount()
            try:
                copy_tree(root, f"{self._layers}/{base}/fs")
            finally:
                os.close(root)
        finally:
            view.close()
        self._make(child, f"{self._layers}/{base}/fs")
        return Fork(None, {"layers": [base], "upper": child}, True)


def _is_lid(text: str) -> bool:
    """What is called otherwise was not put there by us."""
    id, _, number = text.partition("-")
    return is_id(id) and number.isdecimal()
