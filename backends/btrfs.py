"""Roots as btrfs subvolumes: a fork is a snapshot, sealing sets the read-only flag (btrfs-subvolume(8)).

The root is the subvolume home/root: a read-only one cannot be renamed into another directory (EROFS), but it can ride
inside a plain directory that is. Layout: {"sealed": bool}, so that a flag which a dying `seal` left is known as such.

Subvolumes inside a root (systemd makes /var/lib/machines one) are part of it: a fork gets its own of each, where a mere
snapshot has empty directories. The snapshot of the root is one point in time; theirs come one after the other.
"""

import errno
import os

from treesmith.backends.folders import is_folder
from treesmith.backends.plain import Plain
from treesmith.backends.subvolumes import delete, inside, mounted_below, on_btrfs, open_inner
from treesmith.backends.values import Each, Fork, Traits, Usage
from treesmith.errors import Error
from treesmith.linux.file import syncfs
from treesmith.linux.remove import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Any

    from treesmith.backends.contract import Compaction, Layout, Meter, Mode, Root
    from treesmith.sandbox.view import View


class Btrfs:
    name = "btrfs"

    def __init__(self, store: str) -> None:
        self._store = store
        try:
            self._calls = binding()
        except Error:
            if on_btrfs(store):
                raise
            raise Error(f"{store} is not on btrfs") from None
        self.traits = Traits(
            idmap=True, live="atomic", keeps_links=True, renames_dirs=True, host_path=True, max_depth=None
        )

    def probe(self) -> Traits:
        from treesmith.backends.probe import can_idmap, room

        with room(self._store, self.clear) as folder:
            source, copy = f"{folder}/source", f"{folder}/copy"
            if not on_btrfs(folder):
                raise Error(f"{self._store} is not on btrfs")
            self._calls.create_subvolume(source)
            with open(f"{source}/kept", "w") as file:
                file.write("kept")
            self._calls.create_snapshot(source, copy)
            with open(f"{source}/kept", "w") as file:
                file.write("not in the copy")
            self._calls.set_subvolume_read_only(copy, True)
            with open(f"{copy}/kept") as file:
                if file.read() != "kept":
                    raise Error(f"a snapshot does not keep what it is of on the filesystem of {self._store}")
            self.traits.idmap = can_idmap(source)
        return self.traits

    def create(self, id: str, home: str) -> "Layout":
        root = f"{home}/root"
        self._calls.create_subvolume(root)
        os.chmod(root, 0o755)
        return {"sealed": False}

    def fork(self, source: "Root", id: str, home: str, throwaway: bool = False, running: bool = False) -> Fork:
        above, root = f"{source.home}/root", f"{home}/root"
        # The kernel writes out the source's data and commits before it returns: nothing is left to be flushed.
        self._calls.create_snapshot(above, root)
        for path in inside(self._calls, above):
            self._fork_inner(above, root, path)
        return Fork(None, {"sealed": False}, False)

    def seal(self, root: "Root") -> "Layout":
        # Inner ones too: the flag of the outer says nothing about them. What is open for writing stays so.
        top = f"{root.home}/root"
        for path in (*(f"{top}/{path}" for path in inside(self._calls, top)), top):
            self._calls.set_subvolume_read_only(path, True)
        return {"sealed": True}

    def keep(self, root: "Root") -> None:
        """A snapshot is."""

    def flush(self, root: "Root") -> None:
        # BTRFS_IOC_SYNC commits the same but keeps quiet about data that could not be written: syncfs(2) tells.
        folder = os.open(root.home, os.O_RDONLY | os.O_DIRECTORY)
        try:
            syncfs(folder)
        finally:
            os.close(folder)

    def open(self, root: "Root", mode: "Mode") -> "View":
        top = f"{root.home}/root"
        if mode != "ro" and not root.layout["sealed"] and self._calls.get_subvolume_read_only(top):
            for path in (top, *(f"{top}/{path}" for path in inside(self._calls, top))):
                self._calls.set_subvolume_read_only(path, False)  # a seal that was cut short
        return Plain(top, mode == "ro")

    def discard(self, root: "Root") -> None:
        self.clear(root.home)

    def orphans(self, live: "Iterable[Root]", making: "frozenset[str]") -> "list[str]":
        return []

    def faults(self, root: "Root") -> "list[str]":
        if not isinstance(root.layout.get("sealed"), bool):
            return ["its layout does not say whether it is sealed"]
        top = f"{root.home}/root"
        if not is_folder(top):
            return ["its root is missing"]
        return [] if self._calls.is_subvolume(top) else ["its root is no subvolume"]

    def set_aside(self, orphan: str, folder: str) -> None:
        raise FileNotFoundError(orphan)  # there never is one

    def clear(self, path: str) -> None:
        # The kernel deletes a mounted subvolume, and one with mounts in it, without a word.
        if mounted_below(path):
            raise OSError(errno.EBUSY, "something is mounted there", path)
        try:
            entries = os.listdir(path)  # a root; or what a probe made that was cut short
        except FileNotFoundError:
            return
        for entry in entries:
            delete(self._calls, f"{path}/{entry}")
        remove_tree(path)

    def reclaimable(self, path: str) -> "int | None":
        from treesmith.backends.measure import subvolume

        return subvolume(f"{path}/root").exclusive

    def compactions(self, live: "Iterable[Root]", busy: "Collection[str]") -> "list[Compaction]":
        return []  # each root stands alone

    def added(self, root: "Root", source: "Root | None") -> "int | None":
        from treesmith.backends.measure import written

        self.flush(root)  # what is not yet on disk is counted nowhere
        top = f"{root.home}/root"
        return written(top, self._calls.subvolume_info(top).otransid if source else 0)

    def measure(self, live: "Iterable[Root]") -> "Meter":
        return Each(self._usage)

    def _usage(self, root: "Root") -> Usage:
        from treesmith.backends.measure import subvolume

        try:
            self.flush(root)  # what is not yet on disk is counted nowhere
        except FileNotFoundError:
            return Usage(None, None, None)  # removed meanwhile
        return subvolume(f"{root.home}/root")

    def _fork_inner(self, above: str, root: str, path: str) -> None:
        """A snapshot of the subvolume `path` of `above` in the place where `root` has an empty directory for it."""
        folder = os.path.dirname(f"{root}/{path}")
        try:
            inner = open_inner(above, path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV):
                raise
            return  # a running source has removed it meanwhile
        try:
            times = os.stat(folder)
            os.rmdir(f"{root}/{path}")
            self._calls.create_snapshot(inner, f"{root}/{path}")
            os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise  # a running source has made it after the snapshot of its root
        finally:
            os.close(inner)


def binding() -> "Any":
    """libbtrfsutil's Python module: 0.4 ms to import. Error: what to install."""
    try:
        import btrfsutil
    except (ImportError, OSError) as error:  # OSError: built for another libbtrfsutil than the one that is there
        raise Error(
            "the backend btrfs needs the Python module btrfsutil",
            str(error),
            "apt install gcc python3-dev libbtrfsutil-dev, then pip install 'treesmith[btrfs]'; "
            "or apt install python3-btrfsutil, for Debian's own python3",
        ) from None
    return btrfsutil
