"""What a writer that died left behind, finished or cleared by the next one. Readers never come here.

Every change of several steps, and every tree that is being made, has a lock in staging/; whoever dies leaves it free.
Whoever takes the writers' lock and finds such a one has `settle` come first, which is quick: it renames what is to be
removed into trash/. `sweep` does the slow removing, outside the lock.
"""

import os

from treesmith.errors import BusyError, Error, NotFoundError
from treesmith.names import is_id
from treesmith.sandbox import leftovers as containers
from treesmith.sandbox import standstill
from treesmith.store import index, locks, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from treesmith.store.store import Store


def settle(store: "Store", dead: "dict[str, locks.Lock | None]", thorough: bool = False) -> None:
    """Put the store in order, whose writers' lock is held; `dead`: what `abandoned` has found in staging/.

    thorough: look for what launches have left in trees, too.

    What cannot be done now (no space, no permission) is left for later: it may not keep anybody from working.
    """
    _try(standstill.recover)
    for entry, lock in dead.items():
        id = entry.rpartition("-")[2]
        done = _try(containers.clear, id) and _try(_drop_staging, store, entry, id) and _try(_finish, store, id)
        if lock and done:
            lock.remove()
        elif lock:
            lock.close()
    _try(_finish_superseded, store)
    _try(_clear_links, store)
    if thorough:
        _try(_clear_all_points, store)
    _try(_clear_locks, store)


def sweep(store: "Store") -> "list[str]":
    """Remove what lies in trash/ and what backends keep for nobody. Returns what could not be removed, and why."""
    with store.writing():
        # `settle` has just run: what is in staging still is alive, or could not be cleared.
        waste = _waste(store, lambda: set(os.listdir(f"{store.path}/staging")))
    failed = []
    for path in waste:
        try:
            store.backend.clear(path)
        except OSError as error:
            failed.append(f"{path}: {error}")
    return failed


def leftovers(store: "Store") -> "list[tuple[str, str]]":
    """(path, reason) of what `recover` would remove. Changes nothing."""
    staging = f"{store.path}/staging"
    entries = os.listdir(staging)
    held = _held(store)
    dead = sorted(entry for entry in entries if not entry.endswith(".lock") and f"{entry}.lock" not in held)
    found = [(f"{staging}/{entry}", "abandoned: who was making it is gone") for entry in dead]
    for path in _waste(store, lambda: _held(store)):
        trash = path.startswith(f"{store.path}/trash/")
        found.append((path, "removed already, but not deleted" if trash else "belongs to no tree"))
    return found


def unowned(store: "Store", live: "list[records.Tree]", staging: "Callable[[], set[str]] | None" = None) -> "list[str]":
    """What the backend keeps for none of these trees, nor for one of these entries of staging/ (default: those whose
    lock is held)."""

    def making() -> "frozenset[str]":
        entries = staging() if staging else _held(store)
        return frozenset(entry.removesuffix(".lock").rpartition("-")[2] for entry in entries)

    found = store.backend.orphans(live, making())
    if found:
        # Whoever began between that look at staging/ and the backend's own has a lock by now.
        still = set(store.backend.orphans(live, making()))
        found = [orphan for orphan in found if orphan in still]
    return found


def _held(store: "Store") -> "set[str]":
    """The locks in staging/ that somebody holds."""
    staging = f"{store.path}/staging"
    locked = (entry for entry in os.listdir(staging) if entry.endswith(".lock"))
    return {entry for entry in locked if not locks.is_free(f"{staging}/{entry}")}


def _waste(store: "Store", staging: "Callable[[], set[str]]") -> "list[str]":
    """What is in trash/, and what belongs to no tree, nor to one of these entries of staging/."""
    trash = [f"{store.path}/trash/{entry}" for entry in sorted(os.listdir(f"{store.path}/trash"))]
    found = store.trees()
    live = [tree for tree in found if isinstance(tree, records.Tree)]
    if len(live) != len(found):
        return trash  # a damaged record names layers that nobody else may know of
    return trash + unowned(store, live, staging)


def clear_points(store: "Store", id: str) -> None:
    """Remove what a killed launch has made in a tree to mount at; the tree's exclusive lock is held."""
    from treesmith.sandbox import point

    try:
        tree = store.read(id)
        view = store.backend.open(tree, "rw")
        try:
            root = view.mount()
        finally:
            view.close()
    except (OSError, Error):
        return  # whoever uses the tree is told
    try:
        _try(point.clear, root, f"{tree.home}/{records.POINTS}")
    finally:
        os.close(root)


def _try(action: "Callable[..., object]", *arguments: "object") -> bool:
    try:
        action(*arguments)
    except OSError:
        return False
    return True


def _drop_staging(store: "Store", entry: str, id: str) -> None:
    try:
        os.rename(f"{store.path}/staging/{entry}", f"{store.path}/trash/{id}")
    except FileNotFoundError:
        pass


def _finish(store: "Store", id: str) -> None:
    """A tree that was published but not named was promised to nobody: away with it. A step gets its key again."""
    tree = records.survey(f"{store.path}/trees/{id}") if is_id(id) else None
    if not isinstance(tree, records.Tree) or id in store.names().values():
        return
    if tree.kind == "step":
        index.point(f"{store.path}/keys", tree.key, id)
        return
    lock = locks.attempt(f"{store.path}/locks/{id}", exclusive=True, patience=0)
    if lock:
        with lock:
            os.rename(tree.home, f"{store.path}/trash/{id}")
            records.sync_folder(f"{store.path}/trees")
            lock.remove()


def _finish_superseded(store: "Store") -> None:
    if os.path.lexists(f"{store.path}/names/{index.OLD}"):
        from treesmith.store.remove import finish_superseded

        finish_superseded(store)


def _clear_links(store: "Store") -> None:
    """Names and keys of nothing, the number of a tree that has its name still, and links that were being made."""
    names = store.names()
    for folder, links in (("names", names), ("keys", index.read(f"{store.path}/keys"))):
        index.discard(f"{store.path}/{folder}", index.NEW)
        for link, id in links.items():
            plain = link.partition("@")[0]
            if not os.path.lexists(f"{store.path}/trees/{id}") or (plain != link and names.get(plain) == id):
                index.discard(f"{store.path}/{folder}", link)


def _clear_all_points(store: "Store") -> None:
    for id in os.listdir(f"{store.path}/trees"):
        if os.path.lexists(f"{store.path}/trees/{id}/{records.POINTS}"):
            try:
                store.lock(id, exclusive=True).close()
            except (BusyError, NotFoundError):
                continue


def _clear_locks(store: "Store") -> None:
    for id in os.listdir(f"{store.path}/locks"):
        if is_id(id) and not os.path.lexists(f"{store.path}/trees/{id}"):
            lock = locks.free(f"{store.path}/locks/{id}")
            if lock:
                lock.remove()
