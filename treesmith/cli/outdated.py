"""outdated."""

from treesmith.build import Change
from treesmith.build import outdated as changed
from treesmith.store import open_store
from treesmith.ui import listing
from treesmith.ui.progress import progress
from treesmith.verbs.declare import Asked


def outdated(asked: Asked, tree: str, exit_code: bool, json: bool) -> int:
    store = open_store(asked.store)
    found = store.find(tree)
    with progress(asked.quiet, asked.verbose) as report:
        changes = changed(store, found, report)
    if json:
        listing.document(tree=found.name or None, changes=[_described(change) for change in changes])
    else:
        rows: list[listing.Row] = [(change.step, change.what, change.old, change.new) for change in changes]
        listing.table(("step", "package", "now", "then"), rows, empty="nothing")
    return int(exit_code and bool(changes))


def _described(change: Change) -> dict[str, str | None]:
    return {"step": change.step, "package": change.what or None, "old": change.old or None, "new": change.new}
