"""What a build will do, and why, before it does anything. Pure: recipes, inputs and what the store holds go in, Actions
come out; nothing is touched.

A chain of recipes is a line of units: the steps of the first recipe, its tree, the steps of the next, its tree, … Each
step's key covers its inputs and the key before it, so that the same key means the same content. A recipe's tree is a
sealed fork of its last step that carries the launch defaults; the next recipe's first step is a fork of that tree.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from treesmith.errors import Error
from treesmith.plan.explain import age, difference
from treesmith.recipe import Recipe, merged
from treesmith.steps import Inputs, Setting, Step
from treesmith.steps.inputs import key_of

_TREE_DOMAIN = b"treesmith tree 1"


class Present(NamedTuple):
    """A tree that the store has under a key."""

    id: str
    created: int  # unix seconds


class Held(NamedTuple):
    """The tree that holds a name: these fields of its record."""

    id: str
    key: str
    kind: str  # "build" or "snapshot"
    recipe: Mapping[str, Any] | None = None
    steps: Sequence[Mapping[str, Any]] = ()


class Wish(NamedTuple):
    """What the user asked for besides the recipe."""

    name: str = ""  # --name; "": the recipe's
    replace: bool = False  # --replace: take the name from another recipe's build
    refresh: bool = False  # --refresh: run again what nothing pins
    max_age: int | None = None  # --max-age, seconds: the same, if it is older


class Action(NamedTuple):
    """One unit of the line. `verb` "keep": it is there. "make": it will be made. "skip": not there and not needed."""

    verb: Literal["keep", "make", "skip"]
    recipe: Recipe
    step: Step | None  # None: the recipe's tree
    inputs: Inputs | None  # of the step
    key: str
    reason: str  # "" for what is kept without anything to say
    tree: str = ""  # id of the kept tree
    name: str = ""  # of a recipe's tree; "": it gets none, its child's `parent` keeps it
    launch: Mapping[str, Any] = {}  # of a recipe's tree: its defaults, inherited ones too

    @property
    def title(self) -> str:
        return self.step.title if self.step else f"tree {self.name or '(' + self.recipe.name + ', unnamed)'}"

    def __str__(self) -> str:
        """One line of a plan: "make: python-app: step 3: pip: packages += flask"."""
        return f"{self.verb}: {self.recipe.name}: {self.title}" + (f": {self.reason}" if self.reason else "")


class Plan(NamedTuple):
    actions: tuple[Action, ...]

    @property
    def to_make(self) -> tuple[Action, ...]:
        return tuple(action for action in self.actions if action.verb == "make")

    @property
    def start(self) -> str:
        """The id of the tree that the first thing to make is a fork of; "": an empty root."""
        kept = ""
        for action in self.actions:
            if action.verb == "make":
                return kept
            kept = action.tree or kept
        return kept

    @property
    def result(self) -> Action:
        return self.actions[-1]


def gather(chain: Sequence[Recipe], gathered: Callable[[Step, Setting], Inputs]) -> list[list[Inputs]]:
    """The inputs of every step, by recipe; `gathered` is `steps.gather`."""
    below: list[Inputs] = []
    result = []
    for recipe in chain:
        own = []
        for step in recipe.steps:
            inputs = gathered(step, Setting(recipe.arch, tuple(below)))
            own.append(inputs)
            below.append(inputs)
        result.append(own)
    return result


def keys(chain: Sequence[Recipe], inputs: Sequence[Sequence[Inputs]]) -> list[str]:
    """The key of every unit of the line, in order: what the store is to be asked for."""
    return [unit.key for unit in _line(chain, inputs)]


def plan(
    chain: Sequence[Recipe],
    inputs: Sequence[Sequence[Inputs]],
    present: Mapping[str, Present],
    held: Mapping[str, Held],
    now: int,
    wish: Wish = Wish(),
) -> Plan:
    """The actions that make the last recipe's tree.

    chain: the bases first. inputs: of each step of each recipe. present: by key, as far as the store has them. held:
    by name, at least the names of the chain and the wished one. now: unix seconds.
    Error: the name is held by something that may not be replaced.
    """
    line = _line(chain, inputs)
    names = [_base_name(recipe, held) for recipe in chain[:-1]]
    names.append(_taken_name(chain[-1], wish, held))
    previous = _previous([names[-1], *(recipe.name for recipe in chain)], held)
    born = {step["key"]: step["created"] for step in previous} | {key: tree.created for key, tree in present.items()}
    stale = _stale(line, born, wish, now)
    there = [_there(unit, names, present, held) if not reason else "" for unit, reason in zip(line, stale, strict=True)]
    first = next((index + 1 for index in range(len(line) - 1, -1, -1) if there[index]), 0)
    actions = []
    for index, unit in enumerate(line):
        action = Action("keep", unit.recipe, unit.step, unit.inputs, unit.key, "", there[index])
        if unit.step is None:
            action = action._replace(name=names[unit.depth], launch=unit.launch)
        if index >= first:
            reason = stale[index] or _why(unit, names, held, previous)
            action = action._replace(verb="make", reason=reason)
        elif not there[index]:
            action = action._replace(verb="skip", reason="what follows it is there")
        elif unit.inputs and not unit.inputs.pinned:
            action = action._replace(reason=f"unpinned, {age(now - born[unit.key])} old")
        actions.append(action)
    return Plan(tuple(actions))


def entry(action: Action, tree: str, created: int, made: Mapping[str, Any]) -> dict[str, Any]:
    """A step's entry in the record (`steps`): what `plan` compares with next time. made: what run() returned."""
    assert action.step and action.inputs
    return {
        "recipe": action.recipe.name,
        "number": action.step.number,
        "kind": action.step.kind,
        "name": action.step.name,
        "key": action.key,
        "tree": tree,
        "created": created,
        "pinned": action.inputs.pinned,
        "inputs": {
            label: list(value) if isinstance(value, tuple) else value for label, value in action.inputs.facts.items()
        },
        "made": dict(made),
    }


class _Unit(NamedTuple):
    depth: int  # which recipe of the chain
    recipe: Recipe
    step: Step | None
    inputs: Inputs | None
    key: str
    launch: Mapping[str, Any]


def _line(chain: Sequence[Recipe], inputs: Sequence[Sequence[Inputs]]) -> list[_Unit]:
    line = []
    key = ""
    launch: dict[str, Any] = {}
    for depth, (recipe, own) in enumerate(zip(chain, inputs, strict=True)):
        for step, read in zip(recipe.steps, own, strict=True):
            key = key_of(key, read.facts)
            line.append(_Unit(depth, recipe, step, read, key, {}))
        launch = merged(launch, recipe.launch)
        facts = {"recipe": recipe.name, "launch": json.dumps(launch, sort_keys=True)}
        line.append(_Unit(depth, recipe, None, None, key_of(key, facts, _TREE_DOMAIN), launch))
    return line


def _is_same_recipe(recipe: Recipe, held: Held) -> bool:
    if held.kind != "build" or not held.recipe:
        return False
    own = recipe.record()
    return all(held.recipe.get(part) == own[part] for part in ("name", "path", "set"))


def _base_name(recipe: Recipe, held: Mapping[str, Held]) -> str:
    """A base takes its recipe's name only with default values, and from nothing but an older build of itself; if it is
    locked, which is for the last recipe's sake, not at all.
    """
    holder = held.get(recipe.name)
    special = recipe.set or any(step.lock for step in recipe.steps)
    return recipe.name if not special and (holder is None or _is_same_recipe(recipe, holder)) else ""


def _taken_name(recipe: Recipe, wish: Wish, held: Mapping[str, Held]) -> str:
    name = wish.name or recipe.name
    holder = held.get(name)
    if holder is None or _is_same_recipe(recipe, holder):
        return name
    if holder.kind != "build":
        raise Error(
            f"{name} is a {holder.kind}, not a build of a recipe", hint=f"treesmith rename {name}, or --name NAME"
        )
    if not wish.replace:
        other = holder.recipe or {}
        same = other.get("path") == recipe.origin
        what = "with other --set values" if same else f"from {other.get('path', 'elsewhere')}"
        raise Error(f"{name} was built {what}", hint="--name NAME builds beside it, --replace takes its name")
    return name


def _previous(names: Iterable[str], held: Mapping[str, Held]) -> list[Mapping[str, Any]]:
    """Recorded steps to compare with, the closest build first."""
    return [step for name in names if name in held for step in held[name].steps]


def _stale(line: Sequence[_Unit], born: Mapping[str, int], wish: Wish, now: int) -> list[str]:
    """For each unit, why it may not be kept even where its key is present, or ""."""
    result = []
    above = False
    for unit in line:
        reason = "parent is made anew" if above else ""
        if unit.inputs and not unit.inputs.pinned and unit.key in born:
            old = now - born[unit.key]
            if wish.refresh:
                reason = "--refresh"
            elif wish.max_age is not None and old > wish.max_age:
                reason = f"unpinned, {age(old)} old: over --max-age"
        above = above or bool(reason)
        result.append(reason)
    return result


def _there(unit: _Unit, names: Sequence[str], present: Mapping[str, Present], held: Mapping[str, Held]) -> str:
    """The id of the tree that will do for a unit, or ""."""
    name = names[unit.depth] if unit.step is None else ""
    if name:
        return held[name].id if name in held and held[name].key == unit.key else ""
    return present[unit.key].id if unit.key in present else ""


def _why(unit: _Unit, names: Sequence[str], held: Mapping[str, Held], previous: Sequence[Mapping[str, Any]]) -> str:
    """Why a unit is made."""
    if unit.step is None:
        name = names[unit.depth]
        if not name or name not in held:
            return "not built yet"
        return "replaces another build" if not _is_same_recipe(unit.recipe, held[name]) else "changed"
    assert unit.inputs
    own = [step for step in previous if step.get("recipe") == unit.recipe.name]
    if any(step.get("key") == unit.key for step in own):
        return "its tree is gone"
    if any(not difference(step.get("inputs", {}), unit.inputs.facts) for step in own):
        return "parent changed"
    alike = [step for step in own if step.get("kind") == unit.step.kind]
    for step in alike:
        if step.get("number") == unit.step.number:
            return difference(step.get("inputs", {}), unit.inputs.facts)
    if len(alike) == 1:
        return difference(alike[0].get("inputs", {}), unit.inputs.facts)
    return "new step" if own else "not built yet"
