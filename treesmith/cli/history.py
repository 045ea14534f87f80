"""history."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from treesmith.cli.show import step_title
from treesmith.errors import NotFoundError, UsageError
from treesmith.etckeeper.history import log as etc_log
from treesmith.inventory import changes
from treesmith.store import Store, Tree, open_store
from treesmith.ui import listing
from treesmith.ui.words import duration, moment, size
from treesmith.verbs.declare import Asked

_SHORT = 8  # digits of a commit's id

Step = Mapping[str, Any]
Packages = Mapping[str, str] | None  # NAME -> version


def history(asked: Asked, tree: str, log: str | None, etc: bool, json: bool) -> None:
    if etc and log is not None:
        raise UsageError("--etc and --log: one at a time")
    store = open_store(asked.store)
    found = store.find(tree)
    if etc:
        _show_etc(store, found, json)
        return
    if log is not None:
        _print_logs(store, found, log)
        return
    later = _snapshots(store, found)
    steps = list(zip(found.steps, changes(found.steps), strict=True))
    if json:
        listing.document(
            tree=found.name or None,
            id=found.id,
            steps=[_described(number, *each) for number, each in enumerate(steps, 1)],
            snapshots=[{"name": each.name or None, "id": each.id, "created": each.created} for each in later],
        )
        return
    rows = [_row(number, *each) for number, each in enumerate(steps, 1)]
    rows += [("-", "", f"snapshot {each.title}", moment(each.created), "", "", "", "") for each in later]
    columns = ("step", "recipe", "what", "when", "took", "added", "packages", "source")
    listing.table(columns, rows, frozenset({"step", "took", "added", "packages"}))


def _row(number: int, step: Step, packages: Packages) -> listing.Row:
    created, seconds = step.get("created"), step.get("seconds")
    return (
        str(number),
        str(step.get("recipe", "")),
        step_title(step),
        moment(created) if isinstance(created, int) else "?",
        duration(seconds) if isinstance(seconds, int | float) else "?",
        size(step.get("bytes")),
        "" if packages is None else str(len(packages)),
        listing.Styled("" if step.get("pinned") else "unpinned", listing.DIM),
    )


def _described(number: int, step: Step, packages: Packages) -> dict[str, Any]:
    fields = ("recipe", "kind", "name", "created", "seconds", "bytes", "pinned", "tree", "key")
    return {"n": number, **{field: step.get(field) for field in fields}, "packages": packages}


def _snapshots(store: Store, tree: Tree) -> list[Tree]:
    """The tree and what it is a snapshot of, back to what was built, the oldest first."""
    line: list[Tree] = []
    known = {each.id: each for each in store.trees() if isinstance(each, Tree)}
    here: Tree | None = tree
    while here and here.kind == "snapshot":
        line.insert(0, here)
        here = known.get(here.parent or "")
    return line


def _show_etc(store: Store, tree: Tree, json: bool) -> None:
    commits = etc_log(store, tree)
    if json:
        listing.document(tree=tree.name or None, id=tree.id, commits=[commit._asdict() for commit in commits])
        return
    rows: list[listing.Row] = [
        (commit.id[:_SHORT], moment(commit.created), commit.author, commit.message) for commit in commits
    ]
    listing.table(("commit", "when", "by", "what"), rows)


def _print_logs(store: Store, tree: Tree, wanted: str) -> None:
    chosen = _chosen(tree, wanted)
    for number, step in chosen:
        text = _log(store, step)
        if text is None and len(chosen) == 1:
            raise NotFoundError(
                f"the log of step {number} is gone",
                "it went when prune removed the step's tree",
                "build with --refresh",
            )
        if len(chosen) > 1:
            print(listing.paint(f"--- {number}: {step_title(step)}", listing.BOLD))
        sys.stdout.flush()
        sys.stdout.buffer.write(text if text is not None else b"(gone with the step's tree)\n")
    sys.stdout.flush()


def _chosen(tree: Tree, wanted: str) -> Sequence[tuple[int, Step]]:
    steps: list[tuple[int, Step]] = list(enumerate(tree.steps, 1))
    if not steps:
        raise NotFoundError(f"{tree.title} was not built by steps")
    if not wanted:
        return steps
    chosen = [each for each in steps if wanted in (str(each[0]), each[1].get("name"))]
    if not chosen:
        chosen = [each for each in steps if wanted == each[1].get("kind")]
    if not chosen:
        named = ", ".join(f"{number} {step_title(step)}" for number, step in steps)
        raise NotFoundError(f"{tree.title} has no step {wanted!r}", f"there are: {named}")
    return chosen


def _log(store: Store, step: Step) -> bytes | None:
    try:
        with open(f"{store.path}/trees/{step.get('tree')}/log", "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
