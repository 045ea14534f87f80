"""A tree while it is being made: a directory in staging/ with its lock beside it."""

import os

from treesmith.errors import BusyError, EndedError, Error, NotFoundError
from treesmith.names import new_id
from treesmith.store import locks, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.backends.contract import Layout
    from treesmith.store.records import Tree
    from treesmith.store.store import Store

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def abandoned(store: "Store") -> "dict[str, locks.Lock | None]":
    """The entries of staging/ that nobody makes any more, each with its lock, if it has one. The writers' lock is held:
    nobody else looks."""
    staging = f"{store.path}/staging"
    entries = set(os.listdir(staging))
    dead: dict[str, locks.Lock | None] = {}
    for entry in entries:
        if entry.endswith(".lock"):
            lock = locks.free(f"{staging}/{entry}")
            if lock:
                dead[entry.removesuffix(".lock")] = lock
        elif f"{entry}.lock" not in entries:
            dead[entry] = None
    return dead


class Stage:
    """A root that is being made, and the locks that this takes. A `with` block: leaving it removes what was not
    published.

    `publish` gives the stage a shared lock on the new tree, which lasts until the block ends: whoever needs the tree
    longer takes his own before.
    """

    __slots__ = ("_held", "_lock", "_seen", "_store", "home", "id", "layout", "published", "source", "stood", "wrote")

    def __init__(self, store: "Store", id: str = "") -> None:
        """id: the tree's, if it is not to be a new one. FileExistsError: somebody else is making that."""
        self._store = store
        self._held: list[locks.Lock] = []
        self.layout: Layout = {}
        self.source: str | None = None  # the id of the tree that this is a fork of
        self.wrote = False  # file data was written on making it
        self.stood = 0.0  # for so many ms what ran in the source was frozen
        self._seen: Layout | None = None  # of a source that is not locked
        self.published = False
        boot = records.read_file(_BOOT_ID)[:8]
        while True:
            self.id = id or new_id()
            self.home = f"{store.path}/staging/{boot}-{self.id}"
            lock = locks.fresh(f"{self.home}.lock")
            if lock:
                break
        self._lock = lock
        try:
            os.mkdir(self.home, 0o700)
        except BaseException:
            lock.remove()
            raise

    def create(self) -> None:
        """An empty root."""
        self.layout = self._store.backend.create(self.id, self.home)
        self.wrote = True

    def fork(self, tree: "Tree", throwaway: bool = False) -> None:
        """A copy-on-write copy of `tree`, which is locked until the stage is closed; or which runs, if it is writable
        and this no throwaway. BusyError if it can be neither; EndedError: with another stage it may be."""
        store = self._store
        try:
            self._held.append(store.lock(tree.id, exclusive=not (tree.sealed or throwaway), frozen=True))
        except BusyError as error:
            if tree.sealed or throwaway:
                raise
            self._fork_running(tree, error)
            return
        source = store.read(tree.id)
        result = store.backend.fork(source, self.id, self.home, throwaway)
        self.layout, self.wrote, self.source = result.child, result.wrote, source.id
        if not throwaway and os.path.lexists(f"{source.home}/{records.CHECKPOINT}"):
            from treesmith.store import frozen

            frozen.pass_on(source.home, self.home)
        if result.source is not None:
            # Before anybody may write to the copy: the source's record must no longer name what they share as its own.
            with store.writing():
                source = store.read(tree.id)
                source.layout = result.source
                records.replace(source)

    def _fork_running(self, tree: "Tree", busy: BusyError) -> None:
        """Of a tree whose lock is held by who runs it. Whatever may happen to it meanwhile, `check` will tell."""
        from treesmith.sandbox import leftovers
        from treesmith.store import mounted

        store, folder = self._store, leftovers.running(tree.id)
        if store.backend.traits.live == "atomic":
            if folder is None and not mounted.where(tree.id):
                raise busy
            self._copy_running(tree)
            return
        if folder is None:
            raise busy
        if not folder:
            raise Error(f"{tree.title} runs and cannot be frozen", "this machine lets nobody make a cgroup for it")
        from treesmith.sandbox.standstill import Standstill

        with Standstill(tree.id, folder) as still:
            try:
                self._copy_running(tree)
            except OSError:
                still.check()  # it may be the reason
                raise
            still.check()
        self.stood = still.took

    def _copy_running(self, tree: "Tree") -> None:
        from treesmith.sandbox import point

        source = self._store.read(tree.id, tree.name)
        result = self._store.backend.fork(source, self.id, self.home, running=True)
        point.pass_on(f"{source.home}/{records.POINTS}", f"{self.home}/{records.POINTS}")
        self.layout, self.wrote, self.source, self._seen = result.child, result.wrote, source.id, source.layout

    def check(self) -> None:
        """The writers' lock is held. EndedError: the source was not locked, and is no more what it was."""
        if self._seen is None or not self.source:
            return
        try:
            if self._store.read(self.source).layout == self._seen:
                return
        except NotFoundError:
            pass
        raise EndedError(f"@{self.source} was changed while it was copied", hint="try again")

    def hold(self, lock: locks.Lock) -> None:
        """Keep a lock for as long as this stage lasts."""
        self._held.append(lock)

    def close(self, settled: bool = True) -> None:
        """Remove what was not published, let go of everything. Again is harmless.

        settled: nothing half-done is left; otherwise the lock's file stays, for the next writer to see and clear up.
        """
        try:
            if not self.published:
                self._store.backend.discard(self)
            if settled:
                self._lock.remove()
        finally:
            self._lock.close()
            while self._held:
                self._held.pop().close()

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
