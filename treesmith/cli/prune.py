"""prune."""

from collections.abc import Sequence

from treesmith.errors import Error
from treesmith.launch import containers, kept
from treesmith.store import mounted, open_store
from treesmith.store.prune import Policy, Removal, apply, plan
from treesmith.ui import listing
from treesmith.ui.words import size
from treesmith.verbs.declare import Asked

_DAY, _MIB = 86400, 1 << 20


def prune(
    asked: Asked,
    dry_run: bool,
    step_age: int | None,
    step_budget: int | None,
    keep_last: int | None,
    keep_hourly: int | None,
    keep_daily: int | None,
    keep_weekly: int | None,
    keep_monthly: int | None,
    older_than: int | None,
    unused_for: int | None,
    json: bool,
) -> None:
    store = open_store(asked.store)
    policy = Policy(
        keep_last,
        keep_hourly,
        keep_daily,
        keep_weekly,
        keep_monthly,
        older_than=_times(older_than, _DAY),
        unused_for=_times(unused_for, _DAY),
        step_age=(step_age or 0) * _DAY,
        step_budget=_times(step_budget, _MIB),
    )
    if not dry_run:
        containers.recover()
        mounted.recover()
    logs = kept.ended(store.path)
    removals = plan(store, policy)
    removals += [Removal(record["name"], "the log of a container that has ended", kept.size(record)) for record in logs]
    failed = [] if dry_run else apply(store, removals, policy)
    for record in logs if not dry_run else ():
        kept.discard(record)
    if json:
        _print_json(removals, failed)
    elif not asked.quiet or dry_run:
        _print(removals, dry_run)
    if failed:
        raise Error("not everything could be removed", "\n".join(failed), "the next treesmith prune tries again")


def _times(count: int | None, unit: int) -> int | None:
    return None if count is None else count * unit


def _total(removals: Sequence[Removal]) -> int | None:
    sizes = [removal.bytes for removal in removals]
    return None if None in sizes else sum(size for size in sizes if size)


def _print(removals: Sequence[Removal], dry_run: bool) -> None:
    if not removals:
        listing.say("nothing to remove")
        return
    rows: list[listing.Row] = [
        (listing.Styled(removal.what, listing.BOLD), size(removal.bytes), removal.reason) for removal in removals
    ]
    listing.table(("what", "size", "why"), rows, frozenset({"size"}))
    count = f"{len(removals)} thing{'s' * (len(removals) != 1)}"
    known = sum(removal.bytes or 0 for removal in removals)
    amount = size(known) if _total(removals) is not None else f"at least {size(known)}"
    listing.say(f"{count}, {amount}: {'nothing was removed' if dry_run else 'removed'}")


def _print_json(removals: Sequence[Removal], failed: list[str]) -> None:
    listing.document(
        removals=[
            {"what": removal.what, "reason": removal.reason, "bytes": removal.bytes, "tree": removal.tree or None}
            for removal in removals
        ],
        bytes=_total(removals),
        failed=failed,
    )
