"""Plans: what is made, what is kept, and the reasons. No store, no files: a plan is a function of values."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from treesmith.errors import Error
from treesmith.plan import Held, Inputs, Plan, Present, Wish, entry, keys, plan
from treesmith.recipe import Base, Recipe
from treesmith.steps import Step

NOW = 1_700_000_000
NONE = Wish()
DAY = 86400


def recipe(name: str, *facts: Mapping[str, Any], base: str = "", **fields: Any) -> tuple[Recipe, list[Inputs]]:
    """A recipe, a step for each of `facts`, with a kind and whether it is pinned among them."""
    steps, inputs = [], []
    for number, own in enumerate(facts, 1):
        pinned = bool(own.get("pinned", True))
        own = {label: value for label, value in own.items() if label != "pinned"}
        steps.append(Step(number, str(own.get("kind", "run")), {}, f"/r/{name}.toml", "/r"))
        inputs.append(Inputs(own, pinned))
    from_base = Base(base) if base else None
    made = Recipe(name, f"/r/{name}.toml", "", "x86_64", from_base, {}, tuple(steps), {}, "digest")
    return made._replace(**fields), inputs


class Store:
    """What a store would hold after plans were carried out."""

    def __init__(self) -> None:
        self.present: dict[str, Present] = {}
        self.held: dict[str, Held] = {}
        self.count = 0

    def plan(self, chain: Sequence[tuple[Recipe, list[Inputs]]], wish: Wish = NONE, now: int = NOW) -> Plan:
        recipes, inputs = [one for one, _ in chain], [own for _, own in chain]
        assert set(keys(recipes, inputs)) == {action.key for action in plan(recipes, inputs, {}, {}, now).actions}
        return plan(recipes, inputs, self.present, self.held, now, wish)

    def build(self, chain: Sequence[tuple[Recipe, list[Inputs]]], wish: Wish = NONE, now: int = NOW) -> Plan:
        made = self.plan(chain, wish, now)
        entries: list[dict[str, Any]] = []
        for action in made.actions:
            if action.verb == "make":
                self.count += 1
                self.present[action.key] = Present(f"{self.count:016x}", now)
            there = self.present.get(action.key)
            if action.step and there:
                entries.append(json.loads(json.dumps(entry(action, there.id, there.created, {}))))
            if not action.step and action.name and there and action.verb == "make":
                self.held[action.name] = Held(there.id, action.key, "build", action.recipe.record(), list(entries))
        return made


def said(made: Plan) -> list[str]:
    return [str(action) for action in made.actions]


BOOTSTRAP = {"kind": "debootstrap", "suite": "bookworm", "pinned": False}
BASE = recipe("base", BOOTSTRAP)


def app(*packages: str, **fields: Any) -> tuple[Recipe, list[Inputs]]:
    pip = {"kind": "pip", "packages": packages, "file requirements.txt": "file 0644 abc"}
    return recipe("app", {"kind": "apt", "packages": ("python3",)}, pip, base="base", **fields)


def test_nothing_is_there() -> None:
    made = Store().plan([BASE, app("flask")])
    assert said(made) == [
        "make: base: step 1: debootstrap: not built yet",
        "make: base: tree base: not built yet",
        "make: app: step 1: apt: not built yet",
        "make: app: step 2: pip: not built yet",
        "make: app: tree app: not built yet",
    ]
    assert made.start == ""


def test_everything_is_there() -> None:
    store = Store()
    store.build([BASE, app("flask")])
    made = store.plan([BASE, app("flask")], now=NOW + 9 * DAY + 5)
    assert said(made) == [
        "keep: base: step 1: debootstrap: unpinned, 9 days old",
        "keep: base: tree base",
        "keep: app: step 1: apt",
        "keep: app: step 2: pip",
        "keep: app: tree app",
    ]
    assert not made.to_make and made.start == made.result.tree == store.held["app"].id


def test_a_step_changed() -> None:
    store = Store()
    store.build([BASE, app("flask")])
    made = store.plan([BASE, app("flask", "gunicorn")])
    assert said(made)[2:] == [
        "keep: app: step 1: apt",
        "make: app: step 2: pip: packages += gunicorn",
        "make: app: tree app: changed",
    ]
    assert made.start == made.actions[2].tree != ""


def test_the_base_changed() -> None:
    store = Store()
    store.build([BASE, app("flask")])
    made = store.plan([recipe("base", {**BOOTSTRAP, "suite": "trixie"}), app("flask")])
    assert said(made) == [
        "make: base: step 1: debootstrap: suite: bookworm -> trixie",
        "make: base: tree base: changed",
        "make: app: step 1: apt: parent changed",
        "make: app: step 2: pip: parent changed",
        "make: app: tree app: changed",
    ]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"a": 1}, {"a": 2}, "a: 1 -> 2"),
        ({"a": True}, {"a": False}, "a: true -> false"),
        ({"a": 1}, {"a": True}, "a: 1 -> true"),
        ({"a": ("x", "y")}, {"a": ("y", "x")}, "a: another order"),
        ({"a": ("x", "y")}, {"a": ("y", "z")}, "a += z -= x"),
        ({"a": ("x",)}, {"a": ("x", "x")}, "a changed"),
        ({"file f": "file 0644 " + "0" * 64}, {"file f": "file 0755 " + "0" * 64}, "file f changed"),
        ({}, {"file f": "file 0644 0"}, "file f is new"),
        ({"env A": "1"}, {}, "env A is gone"),
        ({"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}, {}, "a is gone, b is gone, c is gone, 2 more"),
        ({"a": "x" * 99}, {"a": "y" * 99}, "a changed"),
        ({"a": "x"}, {"a": "\x1b[31m"}, "a changed"),
        ({"step.driver": "a"}, {"step.driver": "b"}, "driver: a -> b"),
    ],
)
def test_differences_are_told(before: dict[str, Any], after: dict[str, Any], told: str) -> None:
    store = Store()
    store.build([recipe("base", before)])
    assert str(store.plan([recipe("base", after)]).actions[0]) == f"make: base: step 1: run: {told}"


def test_a_step_that_was_put_between() -> None:
    store = Store()
    one, two, new = ({"kind": kind, "x": kind} for kind in ("apt", "pip", "npm"))
    store.build([recipe("base", one, two)])
    assert said(store.plan([recipe("base", one, new, two)]))[:3] == [
        "keep: base: step 1: apt",
        "make: base: step 2: npm: new step",
        "make: base: step 3: pip: parent changed",
    ]
    assert said(store.plan([recipe("base", one)])) == ["keep: base: step 1: apt", "make: base: tree base: changed"]


def test_refresh_and_max_age() -> None:
    store = Store()
    store.build([BASE, app("flask")])
    made = store.plan([BASE, app("flask")], Wish(refresh=True))
    assert said(made) == [
        "make: base: step 1: debootstrap: --refresh",
        "make: base: tree base: parent is made anew",
        "make: app: step 1: apt: parent is made anew",
        "make: app: step 2: pip: parent is made anew",
        "make: app: tree app: parent is made anew",
    ]
    assert made.start == ""
    later = NOW + 2 * DAY
    assert not store.plan([BASE, app("flask")], Wish(max_age=3 * DAY), later).to_make
    made = store.plan([BASE, app("flask")], Wish(max_age=DAY), later)
    assert str(made.actions[0]) == "make: base: step 1: debootstrap: unpinned, 2 days old: over --max-age"
    assert len(made.to_make) == 5


def test_age_is_known_from_the_record_where_the_step_tree_is_gone() -> None:
    store = Store()
    made = store.build([BASE, app("flask")])
    del store.present[made.actions[0].key]
    assert said(store.plan([BASE, app("flask")]))[0] == "skip: base: step 1: debootstrap: what follows it is there"
    assert len(store.plan([BASE, app("flask")], Wish(max_age=DAY), NOW + 2 * DAY).to_make) == 5
    assert len(store.plan([BASE, app("flask")], Wish(refresh=True)).to_make) == 5


def test_only_what_is_needed_is_made_again() -> None:
    store = Store()
    made = store.build([BASE, app("flask")])
    for action in made.actions[:3]:
        store.present.pop(action.key)
    del store.held["base"], store.held["app"]
    made = store.plan([BASE, app("flask")])
    assert [action.verb for action in made.actions] == ["skip", "skip", "skip", "keep", "make"]
    assert made.start == made.actions[3].tree
    store.present.clear()
    assert [action.verb for action in store.plan([BASE, app("flask")]).actions] == ["make"] * 5


def test_a_tree_that_is_gone() -> None:
    store = Store()
    first = store.build([BASE])
    store.present.pop(first.actions[0].key)
    store.held["base"] = store.held["base"]._replace(key="other")
    assert said(store.plan([BASE])) == [
        "make: base: step 1: debootstrap: its tree is gone",
        "make: base: tree base: changed",
    ]


def test_launch_defaults_and_the_recipes_name_are_the_trees_not_the_steps() -> None:
    store = Store()
    store.build([BASE])
    changed = (BASE[0]._replace(launch={"user": "app"}), BASE[1])
    made = store.plan([changed])
    assert said(made) == [
        "keep: base: step 1: debootstrap: unpinned, less than a minute old",
        "make: base: tree base: changed",
    ]
    other = (BASE[0]._replace(name="other"), BASE[1])
    assert [action.verb for action in store.plan([other]).actions] == ["keep", "make"]
    # A base's defaults are not what its children's steps are made of, but they inherit them.
    chain = [changed, app(launch={"chdir": "/x", "env": {"B": "2"}})]
    assert store.build(chain).result.launch == {"user": "app", "chdir": "/x", "env": {"B": "2"}}
    again = store.plan([(BASE[0]._replace(launch={"user": "me", "env": {"A": "1", "B": "1"}}), BASE[1]), chain[1]])
    assert [action.verb for action in again.actions] == ["keep", "skip", "keep", "keep", "make"]
    assert again.result.launch == {"user": "me", "chdir": "/x", "env": {"A": "1", "B": "2"}}


def with_suite(suite: str) -> tuple[Recipe, list[Inputs]]:
    return recipe("base", {**BOOTSTRAP, "suite": suite}, set={"suite": suite})


def test_a_base_with_other_values_gets_no_name() -> None:
    store = Store()
    store.build([BASE])
    made = store.build([with_suite("trixie"), app()])
    assert [action.name for action in made.actions if not action.step] == ["", "app"]
    assert store.held["base"].key == store.plan([BASE]).result.key
    assert not store.plan([with_suite("trixie"), app()]).to_make
    # The unnamed base serves another child too.
    sibling = recipe("sibling", {"kind": "run"}, base="base")
    assert [action.verb for action in store.plan([with_suite("trixie"), sibling]).actions] == [
        "keep",
        "keep",
        "make",
        "make",
    ]


def test_a_base_takes_its_name_only_from_itself() -> None:
    for holder, name in (
        (None, "base"),
        (Held("1" * 16, "k", "build", BASE[0].record()), "base"),
        (Held("1" * 16, "k", "snapshot"), ""),
        (Held("1" * 16, "k", "build", {**BASE[0].record(), "path": "/else/base.toml"}), ""),
        (Held("1" * 16, "k", "build", {**BASE[0].record(), "set": {"suite": "x"}}), ""),
    ):
        store = Store()
        if holder:
            store.held["base"] = holder
        assert store.plan([BASE, app()]).actions[1].name == name


def test_the_asked_for_trees_name_is_not_taken_from_others() -> None:
    store = Store()
    store.build([BASE])
    with pytest.raises(Error, match=r"base was built with other --set values\n--name"):
        store.plan([with_suite("trixie")])
    assert said(store.plan([with_suite("trixie")], Wish(name="mine")))[-1] == "make: base: tree mine: not built yet"
    assert store.plan([with_suite("trixie")], Wish(replace=True)).result.reason == "replaces another build"
    elsewhere = (BASE[0]._replace(path="/else/base.toml"), BASE[1])
    with pytest.raises(Error, match=r"base was built from /r/base\.toml"):
        store.plan([elsewhere])
    store.held["base"] = Held("1" * 16, "k", "snapshot")
    for wish in (Wish(), Wish(replace=True)):
        with pytest.raises(Error, match="base is a snapshot, not a build"):
            store.plan([BASE], wish)


def test_changing_only_the_name_makes_only_the_tree() -> None:
    store = Store()
    store.build([BASE])
    assert [action.verb for action in store.plan([BASE], Wish(name="copy")).actions] == ["keep", "make"]
