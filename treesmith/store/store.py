"""The store as the rest of treesmith sees it."""

import gc
import os
import time

import treesmith
from treesmith.errors import BusyError, EndedError, Error, NotFoundError
from treesmith.names import HEX, check_name, is_entry, is_id
from treesmith.store import index, locks, records
from treesmith.store.place import default_path
from treesmith.store.records import Damaged, Tree
from treesmith.store.staging import Stage, abandoned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from treesmith.backends.choose import Tried
    from treesmith.backends.contract import Backend

VERSION = 1
FILE = "store.json"
_PATIENCE = 10.0  # s, with what ends or starts again while it is copied


def open_store(path: str = "") -> "Store":
    """The store at `path` (default: see place.py). NotFoundError: there is none.

    Error: others could get in. Ids on disk are unshifted, so what a container's root made setuid is real on the host
    for whoever reaches it.
    """
    path = os.path.abspath(path or default_path())
    try:
        text = records.read_file(f"{path}/{FILE}")
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"no store at {path}", hint="the first treesmith build makes one") from None
    except PermissionError:
        if treesmith.ROOTLESS:
            why = "or it was made when /etc/subuid and /etc/subgid gave you other ids"
            raise Error(f"the store at {path} is not yours", why, "--store DIR") from None
        raise Error(f"the store at {path} is not yours", hint="--store DIR, or sudo") from None
    if status.st_uid != os.geteuid():
        raise Error(f"the store at {path} belongs to user {status.st_uid}", hint="--store DIR, or become that user")
    if status.st_mode & 0o077:
        raise Error(
            f"the store at {path} is open to others",
            f"its mode is {status.st_mode & 0o7777:o}; a setuid file of a tree would be theirs to run",
            f"chmod 700 {path}",
        )
    try:
        about = records.parse(text)
        version, backend = about["version"], about["backend"]
    except (ValueError, TypeError, KeyError) as error:
        raise Error(f"{path}/{FILE} is damaged", str(error)) from None
    if version != VERSION:
        raise Error(f"the store at {path} has version {version}", f"this treesmith knows {VERSION}")
    return Store(path, backend)


def create_store(path: str = "", backend: str = "", told: "Callable[[Tried], object]" = lambda tried: None) -> "Store":
    """The store at `path`, made if there is none, with the first backend that works there. Error: none does.

    told: called for each backend that is tried, in the order of preference; for none if the store is there already.
    """
    path = os.path.abspath(path or default_path())
    if not os.path.exists(f"{path}/{FILE}"):
        from treesmith.store.create import create

        create(path, backend, told)
    store = open_store(path)
    if backend and store.backend.name != backend:
        raise Error(
            f"the store at {path} is kept by {store.backend.name}, not {backend}",
            hint=f"move it: treesmith migrate --to {backend}:DIR; or make another: --store DIR",
        )
    return store


class Store:
    """A store on disk. Nothing is kept in memory between calls. Every path is absolute."""

    __slots__ = ("_backend", "_backend_name", "path")

    def __init__(self, path: str, backend: str) -> None:
        self.path = path
        self._backend_name = backend
        self._backend: Backend | None = None

    @property
    def backend(self) -> "Backend":
        if self._backend is None:
            from treesmith.backends import keeper

            self._backend = keeper(self._backend_name, self.path)
        return self._backend

    # --- reading: no locks, nothing is repaired -----------------------------------------------------------

    def names(self) -> "dict[str, str]":
        """name -> id; NAME@N too."""
        return index.read_names(f"{self.path}/names")

    def named(self, name: str) -> str:
        """The id that `name` stands for, "" if it stands for nothing."""
        id = index.target(f"{self.path}/names/{name}")
        return id if id and os.path.lexists(f"{self.path}/trees/{id}") else ""

    def name_of(self, id: str) -> str:
        """The name of a tree, "" if it has none."""
        tree = records.survey(f"{self.path}/trees/{id}")
        if isinstance(tree, Tree) and tree.called and self.named(tree.called) == id:
            return tree.called  # most have their first name still, and the others take a look at every name
        return index.name_of(f"{self.path}/names", id)

    def read(self, id: str, name: str = "") -> Tree:
        """The tree of an id. NotFoundError; Error if its record is damaged."""
        found = records.survey(f"{self.path}/trees/{id}", name)
        if found is None:
            raise NotFoundError(f"no tree {name or '@' + id}")
        if isinstance(found, Damaged):
            raise Error(f"{found.title} is damaged", found.why, f"remove it: treesmith rm @{id}")
        return found

    def find(self, ref: str) -> Tree:
        """The tree that NAME, NAME@N or @hex (4 digits at least) means. NotFoundError; Error if it is damaged."""
        id = self.identify(ref)
        return self.read(id, ref if ref[0] != "@" else self.name_of(id))

    def identify(self, ref: str) -> str:
        """The id that NAME, NAME@N or @hex means, its record good or not. NotFoundError."""
        if ref.startswith("@"):
            digits = ref[1:]
            if len(digits) < 4 or not HEX.issuperset(digits):
                raise NotFoundError(f"{ref} is no id", hint="an id is @ and 4 to 16 hex digits")
            ids = [id for id in os.listdir(f"{self.path}/trees") if id.startswith(digits)]
            if len(ids) > 1:
                raise NotFoundError(f"{ref} is not unique", ", ".join(f"@{id}" for id in sorted(ids)))
            if ids:
                return ids[0]
        else:
            if not is_entry(ref):
                check_name(ref)
            id = self.named(ref)
            if id:
                return id
        from treesmith.names import nearest

        close = nearest(ref, list(self.names()))
        raise NotFoundError(f"no tree {ref}", hint=f"did you mean {close}?" if close else "see: treesmith ls")

    def trees(self) -> "list[Tree | Damaged]":
        """All of them, in no order."""
        names = index.by_id(self.names())
        folder = f"{self.path}/trees"
        collecting = gc.isenabled()
        gc.disable()  # a third of the time with 10,000 trees, and records hold no cycles
        try:
            found = [records.survey(f"{folder}/{id}", names.get(id, "")) for id in os.listdir(folder)]
        finally:
            if collecting:
                gc.enable()
        return [tree for tree in found if tree is not None]

    def by_key(self, key: str) -> "Tree | None":
        """The step tree with this key."""
        id = index.target(f"{self.path}/keys/{key}")
        found = records.survey(f"{self.path}/trees/{id}") if id else None
        return found if isinstance(found, Tree) and found.key == key else None

    # --- locks (see locks.py for their order) ---------------------------------------------------------------

    def lock(self, id: str, exclusive: bool = False, frozen: bool = False) -> locks.Lock:
        """The tree's lock, at once or BusyError. NotFoundError if there is no such tree (any more).

        What a killed holder ran in the tree is gone on return. frozen: also while something is frozen to disk in it:
        for that to go on, or who changes nothing in it.
        """
        home = f"{self.path}/trees/{id}"
        if is_id(id) and os.path.lexists(home):
            if exclusive:
                from treesmith.store import mounted

                mounted.settle(id)
            lock = locks.attempt(f"{self.path}/locks/{id}", exclusive)
            if not lock:
                from treesmith.store import mounted

                raise mounted.busy(self.name_of(id) or f"@{id}", id)
            try:
                if os.path.lexists(home):
                    from treesmith.sandbox import leftovers

                    leftovers.clear(id)
                    if exclusive and os.path.lexists(f"{home}/{records.POINTS}"):
                        from treesmith.store.recovery import clear_points

                        clear_points(self, id)
                    if exclusive and not frozen and records.is_frozen(home):
                        from treesmith.store.frozen import settle

                        settle(home, self.name_of(id) or f"@{id}")
                    os.utime(lock.fileno())
                    return lock
            except BaseException:
                lock.close()
                raise
            lock.close()
            locks.clear(f"{self.path}/locks/{id}")  # the tree had taken its own along: this is a new file
        raise NotFoundError(f"no tree @{id}")

    def in_use(self, id: str) -> bool:
        """Does anybody hold the tree's lock? A look, which nobody notices."""
        return not locks.is_free(f"{self.path}/locks/{id}")

    def used(self, id: str) -> "int | None":
        """When the tree's lock was last taken, to run or fork it: seconds since 1970. None: never."""
        try:
            return int(os.stat(f"{self.path}/locks/{id}").st_mtime)
        except FileNotFoundError:
            return None

    def writing(self) -> locks.Lock:
        """The writers' lock, waited for. What a dead writer left half-done is finished or cleared first."""
        lock = locks.wait(f"{self.path}/locks/store")
        try:
            dead = abandoned(self)
            if dead:
                from treesmith.store.recovery import settle

                settle(self, dead)
        except BaseException:
            lock.close()
            raise
        return lock

    # --- making and changing ----------------------------------------------------------------------------------

    def stage(self) -> Stage:
        """A place to make a tree in, as a `with` block: stage.create() or stage.fork(tree), then `publish`."""
        return Stage(self)

    def publish(
        self,
        stage: Stage,
        kind: str,
        name: str = "",
        key: str = "",
        recipe: "dict[str, Any] | None" = None,
        steps: "Iterable[dict[str, Any]]" = (),
        launch: "dict[str, Any] | None" = None,
        labels: "dict[str, str] | None" = None,
        sealed: bool = False,
        replace: bool = True,
        flush: bool = True,
    ) -> Tree:
        """Make a staged root a tree, durably; its parent is what the stage forked.

        replace: a tree that has the name gives it up, and stays as NAME@N if it is pinned, in use, or named trees
        descend from it. Else it is removed. Without `replace` the name must be free (Error).
        flush: files were written into the root; syncs the filesystem.
        """
        from treesmith.store.publish import publish

        return publish(
            self, stage, kind, name, key, recipe, list(steps), launch or {}, labels or {}, sealed, replace, flush
        )

    def snapshot(
        self,
        source: Tree,
        name: str,
        labels: "dict[str, str] | None" = None,
        stood: "Callable[[float], None]" = lambda milliseconds: None,
    ) -> Tree:
        """A writable copy-on-write tree named `name`. Error if the name is taken; BusyError if `source` is in use, but
        not by a container.

        stood: told for how many ms what runs in `source` was frozen, if it was.
        """
        check_name(name)
        if self.named(name):
            from treesmith.store.publish import name_taken

            raise name_taken(name)
        until = 0.0
        while True:
            try:
                return self._snapshot(source, name, labels, stood)
            except BusyError as error:
                if isinstance(error, EndedError):
                    until = until or time.monotonic() + _PATIENCE
                if time.monotonic() > until:
                    raise
            time.sleep(0.002)

    def _snapshot(
        self, source: Tree, name: str, labels: "dict[str, str] | None", stood: "Callable[[float], None]"
    ) -> Tree:
        """EndedError: what ran in `source` did not go on running, or standing still. Not for long, and it is free."""
        with self.stage() as stage:
            stage.fork(source)
            made = self.publish(
                stage, "snapshot", name, recipe=source.recipe, steps=source.steps, launch=source.launch,
                labels=labels, replace=False, flush=stage.wrote,
            )  # fmt: skip
            if stage.stood:
                stood(stage.stood)
            return made

    def throwaway(self, tree: Tree) -> Stage:
        """A fork that lives until it is closed, or its holder dies. `tree` is locked (shared) as long. Never synced."""
        stage = self.stage()
        try:
            stage.fork(tree, throwaway=True)
        except BaseException:
            stage.close()
            raise
        return stage

    def seal(self, tree: Tree) -> Tree:
        """Make it read-only for good, without machine id, host keys and random seeds. BusyError if it is running."""
        from treesmith.store.publish import seal

        return seal(self, tree.id)

    def rename(self, old: str, new: str) -> Tree:
        """Error if `new` is taken. What runs goes on."""
        from treesmith.store.publish import rename

        return rename(self, old, new)

    def update(self, tree: Tree, **fields: "Any") -> Tree:
        """Change fields of the record: launch, labels, pin, steps."""
        from treesmith.store.publish import update

        return update(self, tree.id, fields)

    # --- removing -------------------------------------------------------------------------------------------------

    def removal(self, targets: "list[Tree | Damaged]", recursive: bool = False) -> "list[Tree | Damaged]":
        """What `remove` would remove, children before parents. Error: named trees descend from it, or one is pinned."""
        from treesmith.store.remove import removal

        return removal(targets, self.trees(), recursive)

    def remove(self, targets: "list[Tree | Damaged]", recursive: bool = False) -> "list[Tree | Damaged]":
        """Remove trees, and what is unnamed and descends from them alone; all of `removal` or nothing. Returns what is
        gone. BusyError if one is in use; Error if the files could not all be deleted (what is left is in trash/)."""
        from treesmith.store.remove import remove

        return remove(self, targets, recursive)

    def recover(self) -> "list[str]":
        """Finish or clear what dead writers left, and empty the trash. Returns what could not be deleted, and why."""
        from treesmith.store.recovery import settle, sweep

        with self.writing():
            settle(self, abandoned(self), thorough=True)
        return sweep(self)

    def sweep(self) -> "list[str]":
        """Delete what lies in trash/ and what is kept for nobody. Returns what could not be deleted, and why."""
        from treesmith.store.recovery import sweep

        return sweep(self)
