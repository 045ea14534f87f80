"""Removing trees: what goes with what, who is in the way, and the renames into trash/."""

import errno
import os

from treesmith.errors import BusyError, Error, NotFoundError
from treesmith.names import new_id
from treesmith.sandbox import leftovers
from treesmith.store import index, locks, mounted, records
from treesmith.store.records import Damaged, Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from treesmith.store.store import Store


def descendants(id: str, trees: "Iterable[Tree | Damaged]") -> "list[Tree]":
    """Everything forked from the tree `id`, however far away, parents before children."""
    children: dict[str, list[Tree]] = {}
    for tree in trees:
        if isinstance(tree, Tree) and tree.parent:
            children.setdefault(tree.parent, []).append(tree)
    found: list[Tree] = []
    waiting = [id]
    for parent in waiting:
        for child in children.pop(parent, ()):
            found.append(child)
            waiting.append(child.id)
    return found


def removal(
    targets: "Iterable[Tree | Damaged]", trees: "Iterable[Tree | Damaged]", recursive: bool
) -> "list[Tree | Damaged]":
    """What removing `targets` removes, children before parents: unnamed trees that only they needed go along.

    Error: named trees descend from one of them and this is not `recursive`; one that would go is pinned.
    """
    chosen = {target.id: target for target in targets}
    wanted = list(chosen.values())
    trees = list(trees)
    going: dict[str, Tree | Damaged] = {}
    for target in wanted:
        below = descendants(target.id, trees)
        named = sorted(tree.title for tree in below if tree.name and tree.id not in chosen)
        if named and not recursive:
            raise Error(
                f"{target.title} has descendants",
                f"forked from it: {', '.join(named)}",
                "remove them too: treesmith rm --recursive",
            )
        for tree in (target, *below):
            going.pop(tree.id, None)  # a later place: behind everything it descends from
            going[tree.id] = tree
    pinned = sorted(tree.title for tree in going.values() if isinstance(tree, Tree) and tree.pin)
    if pinned:
        raise Error(f"{', '.join(pinned)}: pinned", hint=f"treesmith pin --off {pinned[0]}")
    return list(going.values())[::-1]


class Going:
    """Trees on their way to trash/, each locked exclusively. A `with` block lets go of what is left."""

    __slots__ = ("_store", "taken")

    def __init__(self, store: "Store") -> None:
        self._store = store
        self.taken: list[tuple[Tree | Damaged, locks.Lock]] = []

    def take(self, tree: "Tree | Damaged") -> None:
        """Lock it. BusyError if it is in use."""
        mounted.settle(tree.id)
        lock = locks.attempt(f"{self._store.path}/locks/{tree.id}", exclusive=True)
        if not lock:
            raise mounted.busy(tree.title, tree.id)
        self.taken.append((tree, lock))
        leftovers.clear(tree.id)

    def go(self) -> "dict[str, str]":
        """Into trash/, durably, and the names and keys with them. They were taken children before parents.

        The writers' lock is held. Returns id -> why of those that stay, because they, or their children, would not go.
        """
        path = self._store.path
        names: dict[str, list[str]] = {}
        for name, id in self._store.names().items():
            names.setdefault(id, []).append(name)
        stuck: dict[str, str] = {}
        blocked: dict[str | None, str] = {}
        while self.taken:
            tree, lock = self.taken.pop(0)
            try:
                if tree.id in blocked:
                    raise OSError(blocked[tree.id])
                os.rename(tree.home, f"{path}/trash/{tree.id}")
            except OSError as error:
                lock.close()
                stuck[tree.id] = str(error)
                if isinstance(tree, Tree):
                    blocked[tree.parent] = f"{tree.title} stays"
                continue
            for name in names.get(tree.id, ()):
                index.discard(f"{path}/names", name)
            if isinstance(tree, Tree) and tree.key and index.target(f"{path}/keys/{tree.key}") == tree.id:
                index.discard(f"{path}/keys", tree.key)
            lock.remove()
        for folder in ("trees", "trash", "names"):
            records.sync_folder(f"{path}/{folder}")
        return stuck

    def close(self) -> None:
        while self.taken:
            self.taken.pop()[1].close()

    def __enter__(self) -> "Going":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def remove(store: "Store", targets: "list[Tree | Damaged]", recursive: bool) -> "list[Tree | Damaged]":
    """See Store.remove."""
    with Change(store), store.writing(), Going(store) as going:
        current = {tree.id: tree for tree in store.trees()}
        for target in targets:
            if target.id not in current:
                raise NotFoundError(f"{target.title} is gone already")
        victims = removal([current[target.id] for target in targets], current.values(), recursive)
        for tree in victims:
            going.take(tree)
        stuck = going.go()
    failed = [f"{current[id].title}: {why}" for id, why in stuck.items()] + store.sweep()
    if failed:
        raise Error("not everything could be removed", "\n".join(failed), "the next treesmith prune tries again")
    return victims


def supersede(store: "Store", name: str, old: str, new: str) -> "Going | None":
    """Before `name` goes over from tree `old` to `new`: `old` becomes NAME@N if it is pinned, in use, damaged, or has
    named descendants. Otherwise it, and what is unnamed and descends from it, is ready to go."""
    trees = store.trees()
    tree = next((tree for tree in trees if tree.id == old), None)
    if tree is None:
        return None  # a name of nothing
    needed = isinstance(tree, Damaged) or tree.pin
    below = descendants(old, trees)
    if not (needed or any(child.name or child.pin or child.id == new for child in below)):
        going = _taken(store, [*below[::-1], tree])
        if going:
            return going
    index.point(f"{store.path}/names", index.next_superseded(store.names(), name), old)
    return None


def finish_superseded(store: "Store") -> None:
    """What index.OLD means has lost its name to another tree, or will not lose it: whoever was at it has died."""
    names = store.names()
    id = index.target(f"{store.path}/names/{index.OLD}")
    trees = store.trees()
    tree = next((tree for tree in trees if tree.id == id), None)
    if tree and id not in names.values():
        below = descendants(id, trees)
        going = None if any(child.id in names.values() for child in below) else _taken(store, [*below[::-1], tree])
        if going:
            with going:
                if going.go():
                    return
    index.discard(f"{store.path}/names", index.OLD)


def _taken(store: "Store", trees: "list[Tree | Damaged]") -> "Going | None":
    """None if one of them is in use."""
    going = Going(store)
    try:
        for tree in trees:
            going.take(tree)
    except BusyError:
        going.close()
        return None
    return going


class Change(locks.Lock):
    """A lock in staging/ for a change of several steps: if it fails half-way or its holder dies, the next writer looks
    what was left. A `with` block."""

    __slots__ = ()

    def __init__(self, store: "Store") -> None:
        lock = None
        try:
            while not lock:
                lock = locks.fresh(f"{store.path}/staging/change-{new_id()}.lock")
        except OSError as error:
            # Changes that take this lock make room: they must work on a disk that has no inode left.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
        super().__init__(lock.path if lock else "", lock.handed_over() if lock else -1)

    def __exit__(self, *failure: object) -> None:
        if failure[0] is None:
            self.remove()
        self.close()
