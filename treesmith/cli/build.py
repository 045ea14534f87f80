"""build."""

import signal
import time

from treesmith import plan as planning
from treesmith.build import build as make
from treesmith.build import plan
from treesmith.cli.init import made
from treesmith.errors import NotFoundError, UsageError
from treesmith.launch.supervise import attend
from treesmith.plan import Plan, Wish
from treesmith.sandbox.sandbox import Sandbox
from treesmith.store import Store, open_store
from treesmith.ui import listing
from treesmith.ui.progress import Quiet, progress
from treesmith.ui.words import duration
from treesmith.verbs.declare import Asked

_DAY = 86400  # seconds
_STYLES = {"keep": listing.DIM, "make": listing.GREEN, "skip": listing.DIM}


def build(
    asked: Asked,
    recipes: tuple[str, ...],
    set: tuple[str, ...],
    name: str,
    replace: bool,
    refresh: bool,
    max_age: int | None,
    secret: tuple[str, ...],
    locked: str | None,
    shell_on_failure: bool,
    dry_run: bool,
    json: bool,
) -> None:
    if name and len(recipes) > 1:
        raise UsageError("--name names one tree, and there are several recipes")
    if json and not dry_run:
        raise UsageError("--json shows a plan", hint="--dry-run --json")
    if locked and len(recipes) > 1:
        raise UsageError("--locked=FILE is the lock of one recipe, and there are several")
    if locked is not None and (refresh or max_age is not None):
        raise UsageError("a lock pins everything, so there is nothing to --refresh")
    wish = Wish(name, replace, refresh, None if max_age is None else max_age * _DAY)
    sets, secrets = pairs("--set", "VAR=VALUE", set), pairs("--secret", "NAME=FILE or NAME=env:VAR", secret)
    if dry_run:
        store = _there(asked.store)
        _show([plan(store, recipe, sets, wish, locked) for recipe in recipes], json)
        return
    store = made(asked)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to clean up as for Ctrl-C, not only by the next writer
    with progress(asked.quiet, asked.verbose) as report:

        def shell(sandbox: Sandbox) -> None:
            report.stop(failed=True)
            attend(sandbox)

        for recipe in recipes:
            began = time.monotonic()
            tree, done = make(
                store, recipe, report, sets=sets, wish=wish, locked=locked, given=secrets,
                on_failure=shell if shell_on_failure else None,
            )  # fmt: skip
            _tell(report, tree.title, done, time.monotonic() - began)


def pairs(option: str, form: str, given: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE of the command line. UsageError."""
    pairs = {}
    for text in given:
        name, mark, value = text.partition("=")
        if not name or not mark:
            raise UsageError(f"{option} {text}: not understood", hint=f"{option} {form}")
        pairs[name] = value
    return pairs


def _there(path: str) -> Store | None:
    """A dry run makes nothing, a store neither."""
    try:
        return open_store(path)
    except NotFoundError:
        return None


def _tell(report: Quiet, title: str, done: Plan, seconds: float) -> None:
    if done.to_make:
        report.say(f"{title}: built in {duration(seconds)}")
        return
    report.say(f"{title}: nothing to do")
    for action in done.actions:
        if action.reason:
            report.say(f"  {action.recipe.name}: {action.title}: {action.reason}")


def _show(plans: list[Plan], json: bool) -> None:
    if json:
        listing.document(
            plans=[
                {
                    "recipe": each.result.recipe.name,
                    "tree": each.result.name,
                    "actions": [_described(action) for action in each.actions],
                }
                for each in plans
            ]
        )
        return
    rows: list[listing.Row] = [
        (listing.Styled(action.verb, _STYLES[action.verb]), action.recipe.name, action.title, action.reason)
        for each in plans
        for action in each.actions
    ]
    listing.table(("do", "recipe", "what", "why"), rows)


def _described(action: planning.Action) -> dict[str, str | None]:
    return {
        "verb": action.verb,
        "recipe": action.recipe.name,
        "title": action.title,
        "reason": action.reason,
        "tree": action.tree or None,
    }
