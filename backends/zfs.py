"""Roots as ZFS datasets: a fork is a clone of a snapshot (zfsconcepts(7)).

A store on the dataset D keeps the root of tree ID in D/treesmith-INODE/ID, INODE the store directory's; names are made
when they are needed, so a pool may be renamed. Mountpoints are legacy: nothing but a view mounts a root. The snapshot
ROOT@ID is what ID was sealed as, and what is forked from then on; it is held (zfs-hold(8)), so that nobody's clearing
away of old snapshots takes it. A fork of a writable tree has @for-FORK, marked to go with its last clone. A user
property says that a root is treesmith's: what has an id's name without it is somebody else's.
Layout: {"sealed": bool}.
"""

import errno
import os
import time

from treesmith.backends.datasets import dataset_of, holders, table
from treesmith.backends.plain import Plain
from treesmith.backends.values import Each, Fork, Traits, Usage
from treesmith.errors import Error
from treesmith.linux.file import syncfs
from treesmith.linux.mount import NODEV, RDONLY, new_mount
from treesmith.linux.remove import remove_tree
from treesmith.linux.zfs import Zfs as Calls
from treesmith.names import is_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from treesmith.backends.contract import Compaction, Layout, Meter, Mode, Root
    from treesmith.sandbox.view import View

ADVICE = "apt install zfsutils-linux zfs-dkms; modprobe zfs"
_OURS = "treesmith:tree"  # the user property of a root: its id
_TAG = "treesmith"  # of the hold on what is sealed
_PATIENCE = 50  # times 100 ms: how long a mount that was just let go of may keep a dataset busy


class Mounted(Plain):
    """The view of a dataset, or of a snapshot of one. Mounted nowhere."""

    __slots__ = ()

    def __init__(self, dataset: str, read_only: bool) -> None:
        # The filesystem itself is never mounted read-only: a second mount of it, with other flags, is then EBUSY.
        self._mount = new_mount("zfs", NODEV | (RDONLY if read_only else 0), (("source", dataset),))

    def idmap(self, userns: int) -> None:
        try:
            super().idmap(userns)
        except OSError as error:
            raise _too_old() if error.errno == errno.EINVAL else error from None


class Zfs:
    name = "zfs"

    def __init__(self, store: str) -> None:
        self._store = store
        self._parent = f"{dataset_of(store)}/treesmith-{os.stat(store).st_ino:x}"
        self._calls = calls()
        self.traits = Traits(
            idmap=True, live="atomic", keeps_links=True, renames_dirs=True, host_path=False, max_depth=None
        )

    def probe(self) -> Traits:
        from treesmith.backends.probe import can_idmap, room

        # Like a tree that is being made: who dies leaves an orphan. The parent goes too if it was not there before.
        new = not self._calls.exists(self._parent)
        with room(self._store) as first, room(self._store) as second:
            source, copy = (folder.rpartition("-")[2] for folder in (first, second))
            snapshot = f"{self._root(source)}@{source}"
            try:
                self.create(source, first)
                self._calls.snapshot(snapshot)
                self._calls.clone(snapshot, self._root(copy), _OURS, copy)
                view = Mounted(self._root(copy), False)
                try:
                    self.traits.idmap = can_idmap(view.mount())
                finally:
                    view.close()
            finally:
                self._destroy(self._root(copy))
                self._destroy(self._root(source))
                if new:
                    self._destroy_empty(self._parent)
        return self.traits

    def create(self, id: str, home: str) -> "Layout":
        try:
            self._calls.create(self._root(id), _OURS, id)
        except FileNotFoundError:
            self._make_parent(self._parent)
            self._calls.create(self._root(id), _OURS, id)
        return {"sealed": False}

    def fork(self, source: "Root", id: str, home: str, throwaway: bool = False, running: bool = False) -> Fork:
        # Not the fork's own id: it keeps that for its seal, and may take this one over.
        origin = f"{self._root(source.id)}@{source.id if source.layout['sealed'] else 'for-' + id}"
        if not source.layout["sealed"]:
            self._calls.snapshot(origin)
        self._calls.clone(origin, self._root(id), _OURS, id)
        if not source.layout["sealed"]:
            self._calls.destroy_snapshot(origin)
        return Fork(None, {"sealed": False}, False)

    def seal(self, root: "Root") -> "Layout":
        if not root.layout["sealed"]:
            self._sync(root)  # files written through a mapping are only now ZFS's
            snapshot = f"{self._root(root.id)}@{root.id}"
            self._drop(snapshot)  # what a seal left that was cut short; nobody forked that
            self._calls.snapshot(snapshot)
            self._calls.hold(snapshot, _TAG)
        return {"sealed": True}

    def keep(self, root: "Root") -> None:
        """A clone is."""

    def flush(self, root: "Root") -> None:
        if not root.layout["sealed"]:
            self._sync(root)
        folder = os.open(root.home, os.O_RDONLY | os.O_DIRECTORY)
        try:
            syncfs(folder)
        finally:
            os.close(folder)

    def open(self, root: "Root", mode: "Mode") -> "View":
        dataset = self._root(root.id)
        return Mounted(f"{dataset}@{root.id}" if root.layout["sealed"] else dataset, mode == "ro")

    def discard(self, root: "Root") -> None:
        self._destroy(self._root(root.id))
        remove_tree(root.home)

    def orphans(self, live: "Iterable[Root]", making: "frozenset[str]") -> "list[str]":
        if not self._calls.exists(self._parent):
            return []
        known = {root.id for root in live} | making
        found = []
        columns = ("-t", "filesystem,snapshot", "-S", "createtxg", "-o", f"name,{_OURS},defer_destroy")
        for name, ours, going in table("list", *columns, "-r", self._parent):
            root, _, snapshot = name.removeprefix(f"{self._parent}/").partition("@")
            # A snapshot whose fork never came to be; those of a root that goes go with it.
            alone = snapshot.startswith("for-") and snapshot[4:] not in known and going != "on"
            if alone if root in known else (not snapshot and is_id(root) and ours == root):
                found.append(name)
        return found  # the youngest first: few have forks that have to be promoted

    def faults(self, root: "Root") -> "list[str]":
        sealed = root.layout.get("sealed")
        if not isinstance(sealed, bool):
            return ["its layout does not say whether it is sealed"]
        needed = [self._root(root.id), *([f"{self._root(root.id)}@{root.id}"] if sealed else [])]
        return [f"{name} is missing" for name in needed if not self._calls.exists(name)]

    def set_aside(self, orphan: str, folder: str) -> None:
        if "@" not in orphan:  # a snapshot alone holds nothing that its dataset did not
            parent, _, id = orphan.rpartition("/")
            table("rename", orphan, f"{parent}/{os.path.basename(folder)}-{id}")

    def clear(self, path: str) -> None:
        if path.startswith("/"):
            remove_tree(path)
        elif "@" in path:
            self._drop(path)
        else:
            self._destroy(path)

    def reclaimable(self, path: str) -> "int | None":
        if path.startswith("/"):
            from treesmith.backends.measure import on_disk

            return on_disk([path])
        return None if "@" in path else self._taken(path).exclusive

    def compactions(self, live: "Iterable[Root]", busy: "Collection[str]") -> "list[Compaction]":
        return []  # each root stands alone

    def added(self, root: "Root", source: "Root | None") -> "int | None":
        self._sync(root)
        self._calls.sync(self._root(root.id).partition("/")[0])  # what is not on disk is counted nowhere
        return int(table("get", "-o", "value", "written" if source else "referenced", self._root(root.id))[0][0])

    def measure(self, live: "Iterable[Root]") -> "Meter":
        return Each(self._usage)

    def _usage(self, root: "Root") -> Usage:
        dataset = self._root(root.id)
        self._calls.sync(dataset.partition("/")[0])  # what is not on disk is counted nowhere
        return self._taken(dataset)

    def _taken(self, dataset: str) -> Usage:
        try:
            properties = dict(table("get", "-o", "property,value", "used,referenced", dataset))
            cloned = any(clones not in ("-", "") for _, clones in self._snapshots(dataset))
        except Error:
            if self._calls.exists(dataset):
                raise
            return Usage(None, None, None)  # removed meanwhile
        used, shown = int(properties["used"]), int(properties["referenced"])
        # What clones share with it is charged to it alone, and does not come back with it.
        return Usage(None if cloned else used, None if cloned else max(shown - used, 0), shown)

    def _root(self, id: str) -> str:
        return f"{self._parent}/{id}"

    def _sync(self, root: "Root") -> None:
        view = Mounted(self._root(root.id), False)
        try:
            mount = os.open(f"/proc/self/fd/{view.fileno()}", os.O_RDONLY | os.O_DIRECTORY)
            try:
                syncfs(mount)
            finally:
                os.close(mount)
        finally:
            view.close()

    def _make_parent(self, parent: str) -> None:
        settings = (
            "mountpoint=legacy", "canmount=noauto", "xattr=sa", "acltype=posixacl", "utf8only=off",
            "normalization=none", "com.sun:auto-snapshot=false", f"treesmith:store={self._store}",
        )  # fmt: skip
        try:
            table("create", *(word for setting in settings for word in ("-o", setting)), parent)
        except Error:
            if not self._calls.exists(parent):  # else somebody was faster
                raise

    def _snapshots(self, dataset: str) -> "list[list[str]]":
        """[name, clones], the oldest first."""
        return table("list", "-t", "snapshot", "-d", "1", "-s", "createtxg", "-o", "name,clones", dataset)

    def _destroy(self, dataset: str) -> None:
        """Destroy a dataset with its snapshots. Clones of them live on: they take over what they need of it."""
        parted = False
        for attempt in range(_PATIENCE):
            try:
                self._drop(f"{dataset}@{dataset.rpartition('/')[2]}")  # it mostly has no other
                self._calls.destroy(dataset)
                return
            except FileNotFoundError:
                return  # or another process is destroying it too
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
            if not parted:
                self._part(dataset)
                parted = True
                continue
            if attempt == _PATIENCE - 1:
                raise OSError(errno.EBUSY, f"in use by {holders(dataset) or 'what cannot be seen'}", dataset)
            time.sleep(0.1)

    def _destroy_empty(self, parent: str) -> None:
        try:
            self._calls.destroy(parent)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EBUSY, errno.EEXIST):
                raise  # else somebody has begun to use it

    def _part(self, dataset: str) -> None:
        """Take its snapshots away from it: with what was cloned from them, or for good."""
        for name, _ in self._snapshots(dataset):
            self._drop(name)
        while cloned := [row for row in self._snapshots(dataset) if row[1] not in ("-", "")]:
            self._calls.promote(cloned[-1][1].split(",")[0])

    def _drop(self, snapshot: str) -> None:
        """Destroy a snapshot, now or with its last clone. One that is gone is fine."""
        try:
            self._calls.release(snapshot, _TAG)
        except FileNotFoundError:
            pass
        self._calls.destroy_snapshot(snapshot)


def calls() -> Calls:
    """Error: what to install."""
    try:
        return Calls()
    except OSError as error:
        raise Error("the backend zfs needs ZFS", str(error), ADVICE) from None


def version() -> str:
    """The kernel module's."""
    with open("/sys/module/zfs/version") as file:
        return file.read().strip()


def _too_old() -> Error:
    from treesmith.sandbox.sandbox import UNMAPPED

    return Error(f"ZFS {version()} has no id-mapped mounts", "root in a container would be root outside", UNMAPPED)
