"""What a rebuild would change: asked of the sources as they are now, in a fork of the tree that is thrown away."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

from treesmith import plan as planning
from treesmith import recipe, steps
from treesmith.build.report import Report
from treesmith.build.room import Workroom
from treesmith.errors import Error
from treesmith.plan.explain import difference
from treesmith.recipe import Recipe
from treesmith.recipe.search import SHIPPED
from treesmith.store import Store, Tree

_SHIPPED = "treesmith:"
_FREE = "step.lock"  # a tree of a locked build is held against its recipe, not against the lock


class Change(NamedTuple):
    """One thing that would be another."""

    step: str  # "app: step 1: apt"
    what: str  # a package, or an image; "": the step itself
    old: str  # "": it would be new
    new: str  # of a step itself: what has changed that it reads


def outdated(store: Store, tree: Tree, report: Report) -> list[Change]:
    """What building the tree's recipe anew would change, in the order of its steps.

    Error: the tree is of no recipe, the recipe cannot be read, or a source does not answer.
    """
    if not tree.recipe or not tree.steps:
        raise Error(f"{tree.title} was not built by a recipe")
    chain = _chain(tree.recipe)
    ours = [(one, step) for one in chain for step in one.steps]
    inputs = [one for own in planning.gather(chain, steps.gather) for one in own]
    found = []
    with ExitStack() as stack:
        stage = stack.enter_context(store.stage())
        stage.fork(tree)
        log = os.open(f"{stage.home}/log", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, log)
        made = [entry["made"] for entry in tree.steps]
        known = {what for each in made for what in _there(each)}
        for (one, step), read, entry in zip(ours, inputs, tree.steps, strict=False):
            title, there = f"{one.name}: {step.title}", _there(entry["made"])
            told = _told(step.kind, read.facts, entry)
            if told:
                found.append(Change(title, "", "", told))
            try:
                with Workroom(
                    store, stage, step._replace(secrets=()), arch=one.arch, caller=os.environ, log=log, report=report,
                    made=made, secrets={}, opened=stack,
                ) as room:  # fmt: skip
                    newer = steps.newer(step, room)
            except Error as error:
                if told:
                    continue  # it is not what made the tree, so the tree may be of no use to ask it
                raise Error(f"{title}: {error.brief}", error.details, error.hint) from error
            for what, new in sorted(newer.items()):
                if there.get(what) != new and (what in there or what not in known):
                    found.append(Change(title, what, there.get(what, ""), new))
    found += [Change(f"{one.name}: {step.title}", "", "", "new step") for one, step in ours[len(tree.steps) :]]
    return found


def _chain(record: Mapping[str, Any]) -> tuple[Recipe, ...]:
    """As the tree was built: with the same values."""
    chosen = {name: tuple(value) if isinstance(value, list) else value for name, value in record["set"].items()}
    path = str(record["path"])
    if path.startswith(_SHIPPED):
        return recipe.chain(path.removeprefix(_SHIPPED), search=(SHIPPED,), typed=chosen)
    return recipe.chain(path, typed=chosen)


def _there(made: Mapping[str, Any]) -> Mapping[str, str]:
    if "image" in made:
        return {str(made["image"]): str(made["digest"])}
    packages = made.get("packages", {})
    return packages if isinstance(packages, Mapping) else {}


def _told(kind: str, facts: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """What is another now than when the step ran; "": nothing. A locked step did not look at its sources."""
    if entry.get("kind") != kind:
        return f"was {entry.get('kind')}"
    then = dict(entry.get("inputs", {}))
    now = dict(facts)
    if then.pop(_FREE, None):
        now = {label: value for label, value in now.items() if label in then}
    return difference(then, now)
