"""Roots as plain directories, forked by copying: by reference where the filesystem can (xfs, btrfs), else whole."""

import os

from treesmith.backends.folders import is_folder
from treesmith.backends.plain import Plain
from treesmith.backends.values import Each, Fork, Traits, Usage
from treesmith.errors import Error
from treesmith.linux.file import syncfs
from treesmith.linux.mount import open_tree
from treesmith.linux.remove import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from treesmith.backends.contract import Compaction, Layout, Meter, Mode, Root
    from treesmith.sandbox.view import View

# cp(1) keeps hard links, holes, device nodes and directory times, and is three times as fast as Python. Not -a: that
# forgives an xattr that could not be kept, and so a lost capability or ACL. It dies with us: a fork that nobody waits
# for would go on filling the disk while others clear it away.
_CP = (
    "setpriv", "--pdeathsig", "KILL",
    "cp", "-dR", "--preserve=mode,ownership,timestamps,links,xattr", "--reflink=auto", "--sparse=auto",
)  # fmt: skip


class Copy:
    name = "copy"

    def __init__(self, store: str) -> None:
        self._store = store
        self.traits = Traits(
            idmap=True, live="freeze", keeps_links=True, renames_dirs=True, host_path=True, max_depth=None
        )

    def probe(self) -> Traits:
        from treesmith.backends.probe import can_idmap, room

        with room(self._store) as folder:
            os.mkdir(f"{folder}/source")
            copy_tree(f"{folder}/source", f"{folder}/copy")
            self.traits.idmap = can_idmap(folder)
        return self.traits

    def create(self, id: str, home: str) -> "Layout":
        root = f"{home}/root"
        os.mkdir(root)
        os.chmod(root, 0o755)
        return {}

    def fork(self, source: "Root", id: str, home: str, throwaway: bool = False, running: bool = False) -> Fork:
        # Nothing that is mounted inside comes along, but subvolumes of btrfs do, which cp -x would leave out.
        mount = open_tree(f"{source.home}/root")
        try:
            copy_tree(mount, f"{home}/root")
        finally:
            os.close(mount)
        return Fork(None, {}, True)

    def seal(self, root: "Root") -> "Layout":
        return {}

    def keep(self, root: "Root") -> None:
        """There is nothing outside."""

    def flush(self, root: "Root") -> None:
        folder = os.open(root.home, os.O_RDONLY | os.O_DIRECTORY)
        try:
            syncfs(folder)  # file by file would be an fsync for each of thousands
        finally:
            os.close(folder)

    def open(self, root: "Root", mode: "Mode") -> "View":
        return Plain(f"{root.home}/root", mode == "ro")

    def discard(self, root: "Root") -> None:
        remove_tree(root.home)

    def orphans(self, live: "Iterable[Root]", making: "frozenset[str]") -> "list[str]":
        return []

    def faults(self, root: "Root") -> "list[str]":
        return [] if is_folder(f"{root.home}/root") else ["its root is missing"]

    def set_aside(self, orphan: str, folder: str) -> None:
        raise FileNotFoundError(orphan)  # there never is one

    def clear(self, path: str) -> None:
        remove_tree(path)

    def reclaimable(self, path: str) -> "int | None":
        from treesmith.backends.measure import on_disk, shares_data

        return None if shares_data(f"{self._store}/store.json") else on_disk([path])

    def compactions(self, live: "Iterable[Root]", busy: "Collection[str]") -> "list[Compaction]":
        return []  # each root stands alone

    def added(self, root: "Root", source: "Root | None") -> "int | None":
        from treesmith.backends.measure import on_disk

        # By the difference: to ask each file what it shares takes as long as the copy took.
        return max(on_disk([f"{root.home}/root"]) - (on_disk([f"{source.home}/root"]) if source else 0), 0)

    def measure(self, live: "Iterable[Root]") -> "Meter":
        return Each(self._usage)

    def _usage(self, root: "Root") -> Usage:
        from treesmith.backends.measure import on_disk, shares_data, sharing

        path = f"{root.home}/root"
        if shares_data(f"{self._store}/store.json"):
            return sharing(path)
        size = on_disk([path])
        return Usage(size, 0, size)


def copy_tree(source: "str | int", target: str) -> None:
    """Make `target`, which is not there yet, a copy of `source` in everything the filesystem can hold: of a path, or
    of the mount that a descriptor is the root of, which has none inside. Error: cp's own words."""
    reading, writing = os.pipe()
    pid = 0
    actions: list[tuple[int, ...]] = [(os.POSIX_SPAWN_DUP2, writing, 2)]
    if isinstance(source, int):
        actions.append((os.POSIX_SPAWN_DUP2, source, 0))
        words = ["--", "/proc/self/fd/0/.", target]
    else:
        words = ["-x", "--", source, target]
    try:
        try:
            pid = os.posix_spawnp(_CP[0], [*_CP, *words], {**os.environ, "LC_ALL": "C"}, file_actions=actions)
        finally:
            os.close(writing)
        said = b""
        while more := os.read(reading, 65536):
            said = (said + more)[-4096:]
    except BaseException:
        if pid:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        raise
    finally:
        os.close(reading)
    if os.waitpid(pid, 0)[1]:
        raise Error(f"could not copy to {target}", said.decode(errors="replace").strip())
