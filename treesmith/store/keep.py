"""Which trees prune may take, and why. Pure: nothing here touches a disk."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from treesmith.store.records import Damaged, Tree

_PERIODS: tuple[tuple[str, str], ...] = (  # field of Policy, and what of the local time makes one period
    ("keep_hourly", "%Y-%m-%d %H"), ("keep_daily", "%Y-%m-%d"), ("keep_weekly", "%G-%V"), ("keep_monthly", "%Y-%m"),
)  # fmt: skip


@dataclass(frozen=True)
class Policy:
    """What prune may take beyond what nothing needs. Times in seconds, sizes in bytes; None: not asked.

    keep_*: of the snapshots of each source, keep the newest so many, or the newest one of each of the last so many
    hours, days, weeks, months that have any. Others go, if `older_than` and `unused_for` allow it.
    older_than, unused_for: alone, snapshots as old go; with keep_*, only those that these would take as well.
    step_age: step trees that nothing lists stay so long. step_budget: and the newest so many bytes of them.
    """

    keep_last: int | None = None
    keep_hourly: int | None = None
    keep_daily: int | None = None
    keep_weekly: int | None = None
    keep_monthly: int | None = None
    older_than: int | None = None
    unused_for: int | None = None
    step_age: int = 0
    step_budget: int | None = None


@dataclass(frozen=True)
class Facts:
    """What the policy is applied to. now: seconds since 1970. used: id -> when last locked. live: keys of steps that
    builds may ask for again. size: bytes that only this tree uses, None if unknown; asked for only with a budget."""

    trees: Sequence[Tree | Damaged]
    now: int
    in_use: Collection[str] = ()
    used: Mapping[str, int] = field(default_factory=dict)
    live: Collection[str] = ()
    size: Callable[[Tree], int | None] = lambda tree: None


def doomed(facts: Facts, policy: Policy) -> list[tuple[Tree, str]]:
    """(tree, reason) of every tree to remove, children before parents.

    Never one that is pinned, in use, or an ancestor of one that stays.
    """
    trees = {tree.id: tree for tree in facts.trees if isinstance(tree, Tree)}
    reasons = {tree.id: reason for tree in trees.values() if (reason := _candidate(tree, facts, policy))}
    reasons.update(_outside_policy(trees.values(), facts, policy))
    stays = _Staying(trees)
    for tree in trees.values():
        if tree.id not in reasons or tree.pin or tree.id in facts.in_use:
            stays.add(tree)
    if policy.step_budget is not None:
        _within_budget(stays, trees.values(), facts, policy.step_budget)
    gone = [tree for tree in trees.values() if tree.id not in stays.ids]
    return [(tree, reasons[tree.id]) for tree in _children_first(gone)]


def _candidate(tree: Tree, facts: Facts, policy: Policy) -> str:
    """Why nothing needs the tree itself; "" if something does."""
    if "@" in tree.name:
        return f"superseded: {tree.name.partition('@')[0]} was made anew, and nothing descends from this one"
    if tree.name:
        return ""
    if tree.kind != "step":
        return "nameless: its maker was interrupted"
    if tree.key in facts.live or facts.now - tree.created < policy.step_age:
        return ""
    return "a step that no tree is made of any more"


def _outside_policy(trees: Iterable[Tree], facts: Facts, policy: Policy) -> dict[str, str]:
    asked = {rule: getattr(policy, rule) for rule, _ in (("keep_last", ""), *_PERIODS)}
    rules = {rule: count for rule, count in asked.items() if count is not None}
    if not rules and policy.older_than is None and policy.unused_for is None:
        return {}
    groups: dict[str | None, list[Tree]] = {}
    for tree in trees:
        if tree.kind == "snapshot" and tree.name and "@" not in tree.name:
            groups.setdefault(tree.parent, []).append(tree)
    found = {}
    for group in groups.values():
        kept = _kept(group, rules)
        for tree in group:
            age, idle = facts.now - tree.created, facts.now - facts.used.get(tree.id, tree.created)
            if tree.id in kept or age < (policy.older_than or 0) or idle < (policy.unused_for or 0):
                continue
            why = [f"{' '.join(sorted(rules)).replace('_', '-')} keep others"] if rules else []
            why += [f"{_days(age)} old"] if policy.older_than is not None else []
            why += [f"unused for {_days(idle)}"] if policy.unused_for is not None else []
            found[tree.id] = f"a snapshot: {', '.join(why)}"
    return found


def _kept(group: list[Tree], rules: Mapping[str, int]) -> set[str]:
    newest = sorted(group, key=lambda tree: (tree.created, tree.id), reverse=True)
    kept = {tree.id for tree in newest[: rules.get("keep_last", 0)]}
    for rule, form in _PERIODS:
        seen: dict[str, str] = {}
        for tree in newest:
            seen.setdefault(time.strftime(form, time.localtime(tree.created)), tree.id)
        kept.update(list(seen.values())[: rules.get(rule, 0)])
    return kept


def _days(seconds: int) -> str:
    return f"{seconds // 86400} days" if seconds >= 2 * 86400 else f"{seconds // 3600} hours"


class _Staying:
    """Trees that stay, and with each what it needs: its ancestors, and, if it has a name, the steps it lists."""

    def __init__(self, trees: Mapping[str, Tree]) -> None:
        self._trees = trees
        self.ids: set[str] = set()

    def needs(self, tree: Tree) -> list[Tree]:
        """What would stay with it, itself included, and does not yet."""
        found: dict[str, Tree] = {}
        waiting = [tree]
        while waiting:
            tree = waiting.pop()
            if tree.id not in self.ids and tree.id not in found:
                found[tree.id] = tree
                needed = [tree.parent, *(step.get("tree") for step in tree.steps if tree.name)]
                waiting += [self._trees[id] for id in needed if id and id in self._trees]
        return list(found.values())

    def add(self, tree: Tree) -> None:
        self.ids.update(each.id for each in self.needs(tree))


def _within_budget(stays: _Staying, trees: Iterable[Tree], facts: Facts, budget: int) -> None:
    """Of the steps that would go, the newest stay while they fit; a size that is unknown fits nothing."""
    for tree in sorted(trees, key=lambda tree: (tree.created, tree.id), reverse=True):
        if tree.kind != "step" or tree.name or tree.id in stays.ids:
            continue
        budget -= sum(budget + 1 if (size := facts.size(each)) is None else size for each in stays.needs(tree))
        if budget < 0:
            return
        stays.add(tree)


def _children_first(trees: list[Tree]) -> list[Tree]:
    depth: dict[str, int] = {}
    known = {tree.id: tree for tree in trees}
    for tree in trees:
        chain = []
        at: Tree | None = tree
        while at and at.id not in depth:
            chain.append(at.id)
            depth[at.id] = -1  # a record that says it descends from itself ends here
            at = known.get(at.parent or "")
        above = depth[at.id] if at else 0
        for number, id in enumerate(reversed(chain), 1):
            depth[id] = above + number
    return sorted(trees, key=lambda tree: (-depth[tree.id], tree.created, tree.id))
