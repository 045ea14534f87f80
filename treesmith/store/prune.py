"""Pruning a store: first the plan, with reasons and measured bytes, then doing it."""

import time
from collections.abc import Collection
from dataclasses import dataclass

from treesmith.errors import BusyError
from treesmith.store.compact import compact, compactions
from treesmith.store.keep import Facts, Policy, doomed
from treesmith.store.records import Damaged, Tree
from treesmith.store.recovery import leftovers, settle
from treesmith.store.remove import Change, Going
from treesmith.store.staging import abandoned
from treesmith.store.store import Store

__all__ = ["Policy", "Removal", "apply", "plan"]


@dataclass(frozen=True)
class Removal:
    """One thing that prune removes, or makes smaller. tree: an id, or "" for what no tree owns. bytes: what comes back
    when everything before it in the plan is gone already; None: unknown."""

    what: str  # a tree's title, or a path in the store
    reason: str
    bytes: int | None
    tree: str = ""


def plan(store: Store, policy: Policy | None = None, live: Collection[str] = (), now: int = 0) -> list[Removal]:
    """What `apply` would remove, trees first, children before parents. Changes nothing.

    live: keys of the steps that recipes at hand would ask for. now: seconds since 1970, if not the present.
    """
    facts = _facts(store, live, now)
    left = {tree.id: tree for tree in facts.trees if isinstance(tree, Tree)}
    removals, meter = [], store.backend.measure(left.values())
    for tree, reason in doomed(facts, policy or Policy()):
        del left[tree.id]
        removals.append(Removal(tree.title, reason, meter.usage(tree).exclusive, tree.id))
        meter.gone(tree)
    damaged = [tree for tree in facts.trees if isinstance(tree, Damaged)]
    for compaction in compactions(store, [*left.values(), *damaged], facts.in_use):
        first, *more = sorted(left[id].title for id in compaction.trees)
        what = f"{compaction.what} of {first}{f' and {len(more)} more' if more else ''}"
        removals.append(Removal(what, "can be one: nothing needs them apart", compaction.bytes))
    for path, reason in leftovers(store):
        removals.append(Removal(path.removeprefix(f"{store.path}/"), reason, store.backend.reclaimable(path)))
    return removals


def apply(
    store: Store, removals: Collection[Removal], policy: Policy | None = None, live: Collection[str] = (), now: int = 0
) -> list[str]:
    """Remove what `plan` said and what is still so. Goes on past errors; returns them, one line each."""
    failed = []
    with Change(store), store.writing(), Going(store) as going:
        settle(store, abandoned(store), thorough=True)
        facts = _facts(store, live, now)
        planned = {removal.tree for removal in removals}
        needed = set()
        for tree, _ in doomed(facts, policy or Policy()):
            if tree.id in planned and tree.id not in needed:
                try:
                    going.take(tree)
                except (BusyError, OSError) as error:
                    failed.append(str(error).replace("\n", ": "))
                else:
                    continue
            needed.add(tree.parent)
        failed += [f"{tree}: {why}" for tree, why in going.go().items()]
    store.sweep()  # what follows needs some room
    failed += compact(store)
    return failed + store.sweep()


def _facts(store: Store, live: Collection[str], now: int) -> Facts:
    trees = store.trees()
    good = [tree for tree in trees if isinstance(tree, Tree)]

    meter = store.backend.measure(good)

    return Facts(
        trees=trees,
        now=now or int(time.time()),
        in_use={tree.id for tree in trees if store.in_use(tree.id)},
        used={tree.id: when for tree in trees if (when := store.used(tree.id)) is not None},
        live=live,
        size=lambda tree: meter.usage(tree).exclusive,
    )
