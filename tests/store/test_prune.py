"""What prune takes, what it leaves, and what it says about it."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from forest import content, opened
from grow import make, step, titles

from treesmith.errors import BusyError, NotFoundError
from treesmith.store import Store, Tree, locks
from treesmith.store.keep import Facts, Policy, doomed
from treesmith.store.prune import Removal, apply, plan

HOUR, DAY = 3600, 86400
NOW = 1_700_000_000


def tree(id: str, parent: str = "", name: str = "", kind: str = "build", age: int = 0, **more) -> Tree:
    record = {
        "id": id, "kind": kind, "parent": parent or None, "key": f"key-{id}" if kind == "step" else "", "recipe": None,
        "steps": [{"tree": each} for each in more.get("steps", ())], "created": NOW - age, "sealed": True, "launch": {},
        "called": name, "labels": {}, "pin": more.get("pin", False), "layout": {},
    }  # fmt: skip
    return Tree(record, f"/trees/{id}", name)


def gone(trees: list[Tree], policy: Policy | None = None, **facts) -> list[str]:
    return [found.id for found, reason in doomed(Facts(trees, NOW, **facts), policy or Policy()) if reason]


def test_nothing_that_is_needed_goes() -> None:
    trees = [
        tree("base", name="base", steps=["s1", "s2"]), tree("s1", kind="step"), tree("s2", "s1", kind="step"),
        tree("web", "base", "web", "snapshot"),
    ]  # fmt: skip
    assert gone(trees) == []
    assert gone([]) == []


def test_dead_steps_go_children_first() -> None:
    trees = [
        tree("s1", kind="step"), tree("s2", "s1", kind="step"), tree("s3", "s2", kind="step"),
        tree("t3", "s2", kind="step"), tree("base", "s2", "base", steps=["s1", "s2"]),
    ]  # fmt: skip
    assert sorted(gone(trees)) == ["s3", "t3"]
    assert gone(trees, live={"key-s3"}) == ["t3"]
    assert gone(trees[:4], live={"key-s3"}) == ["t3"]
    assert gone(trees[:4])[-2:] == ["s2", "s1"]
    assert gone(trees[:4], in_use={"t3"}) == ["s3"]


def test_steps_listed_by_what_goes_go_too() -> None:
    trees = [tree("old", "s1", "base@1", steps=["s1"]), tree("s1", kind="step"), tree("new", name="base")]
    assert gone(trees) == ["old", "s1"]
    trees.append(tree("fork", "old", "fork", "snapshot"))
    assert gone(trees) == []
    trees[-1] = tree("step", "old", kind="step")
    assert gone(trees) == ["step", "old", "s1"]


def test_age_and_budget_of_dead_steps() -> None:
    trees = [tree(f"s{number}", kind="step", age=number * DAY) for number in range(5)]
    assert gone(trees, Policy(step_age=2 * DAY)) == ["s4", "s3", "s2"]
    sizes = {each.id: 100 for each in trees}
    assert gone(trees, Policy(step_budget=250), size=lambda each: sizes[each.id]) == ["s4", "s3", "s2"]
    assert gone(trees, Policy(step_budget=1000), size=lambda each: sizes[each.id]) == []
    assert len(gone(trees, Policy(step_budget=1000), size=lambda each: None)) == 5
    chain = [tree("a", kind="step", age=DAY), tree("b", "a", kind="step"), tree("c", kind="step", age=2 * DAY)]
    assert gone(chain, Policy(step_budget=199), size=lambda each: 100) == ["b", "c", "a"]
    assert gone(chain, Policy(step_budget=200), size=lambda each: 100) == ["c"]


def test_pinned_and_running_trees_stay_with_their_ancestors() -> None:
    trees = [tree("a"), tree("b", "a"), tree("c", "b", pin=True), tree("d", "b"), tree("e")]
    assert sorted(gone(trees)) == ["d", "e"]
    assert sorted(gone(trees, in_use={"d"})) == ["e"]


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where NOW is a Tuesday, 22:13."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def snapshots(*ages: int) -> list[Tree]:
    return [tree("web", name="web"), *(tree(f"{age // HOUR}h", "web", f"n{age}", "snapshot", age) for age in ages)]


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (Policy(keep_last=2), {"1h", "2h"}),
        (Policy(keep_daily=3), {"1h", "30h", "50h"}),
        (Policy(keep_last=1, keep_weekly=2), {"1h", "50h"}),
        (Policy(keep_monthly=10), {"1h", "900h", "2000h"}),
        (Policy(keep_hourly=3), {"1h", "2h", "30h"}),
        (Policy(keep_last=0), set()),
        (Policy(older_than=40 * HOUR), {"1h", "2h", "30h", "31h"}),
        (Policy(keep_last=1, older_than=40 * HOUR), {"1h", "2h", "30h", "31h"}),
        (Policy(keep_last=5, older_than=40 * HOUR), {"1h", "2h", "30h", "31h", "50h"}),
        (Policy(unused_for=100 * HOUR), {"1h", "2h", "30h", "31h", "50h", "900h"}),
    ],
)
def test_keep_policies(policy: Policy, kept: set[str], utc: None) -> None:
    trees = snapshots(*(hours * HOUR for hours in (1, 2, 30, 31, 50, 200, 900, 2000)))
    found = gone(trees, policy, used={"900h": NOW - DAY})
    assert {each.id for each in trees} - set(found) == {"web", *kept}


def test_policies_are_for_snapshots_of_each_source() -> None:
    trees = [
        tree("base", name="base"), tree("a", "base", "a", "snapshot", 9), tree("b", "base", "b", "snapshot"),
        tree("a1", "a", "a1", "snapshot", 5), tree("a2", "a", "a2", "snapshot", 4), tree("b1", "b", "b1", "snapshot"),
    ]  # fmt: skip
    assert gone(trees) == []
    assert gone(trees, Policy(keep_last=1)) == ["a1"]  # not `a`: a2 descends from it


def test_records_that_make_no_sense() -> None:
    assert sorted(gone([tree("a", "a"), tree("b", "c"), tree("c", "b"), tree("d", "nobody")])) == ["a", "b", "c", "d"]


def test_a_plan_is_kept_to(store: Store) -> None:
    base = make(store, "base")
    live = step(store, "live", base)
    make(store, "app", live, steps=live.steps)
    dead = step(store, "dead", live)
    store.snapshot(make(store, "old"), "held")
    old = store.find("old")
    make(store, "old")
    store.remove([store.find("held")])
    kept = store.snapshot(base, "kept")
    before = content(store, kept)
    planned = plan(store)
    assert {(removal.what, removal.tree) for removal in planned} == {(f"@{dead.id}", dead.id), ("old@1", old.id)}
    assert all(removal.reason for removal in planned)
    if store.backend.name == "overlay":
        assert all(removal.bytes for removal in planned)
    assert titles(store) == ["app", "base", "dead", "kept", "live", "old", "old@1"]
    assert apply(store, planned) == []
    assert titles(store) == ["app", "base", "kept", "live", "old"]
    assert plan(store) == []
    assert content(store, kept) == before


def test_bytes_add_up_over_a_family(store: Store) -> None:
    """What two doomed trees share comes back once, with the last of them."""
    with store.stage() as stage:
        stage.create()
        with opened(store, stage) as root:
            (root / "big").write_bytes(os.urandom(2 << 20))
        one = store.publish(stage, "step", key="one", sealed=True)
    step(store, "three", step(store, "two", one))
    planned = plan(store)
    assert [removal.tree for removal in planned][-1] == one.id
    if store.backend.name == "overlay":
        total = sum(removal.bytes or 0 for removal in planned)
        assert 2 << 20 < total < 3 << 20
        assert planned[0].bytes < 1 << 20


def test_what_the_dead_left_is_planned_and_taken(store: Store) -> None:
    base = make(store, "base")
    staging, trash = Path(store.path, "staging"), Path(store.path, "trash")
    (staging / "boot-0123456789abcdef").mkdir()
    (staging / "boot-0123456789abcdef/log").write_text("x" * 100_000)
    (staging / "boot-0123456789abcdef.lock").touch()
    (staging / "boot-fedcba9876543210.lock").touch()
    (trash / "0011223344556677").mkdir()
    (trash / "0011223344556677/tree.json").touch()
    if store.backend.name == "overlay":
        Path(store.path, "layers/0123456789abcdef-0/fs/deep").mkdir(parents=True)
    with store.stage() as stage:
        stage.fork(base)
        planned = plan(store)
        found = {removal.what: removal.reason for removal in planned}
        assert set(found) - {"layers/0123456789abcdef-0"} == {"staging/boot-0123456789abcdef", "trash/0011223344556677"}
        assert ("layers/0123456789abcdef-0" in found) == (store.backend.name == "overlay")
        assert planned[0].bytes is None or sum(removal.bytes or 0 for removal in planned) >= 100_000
        assert plan(store) == planned
        assert apply(store, planned) == []
        assert plan(store) == []
        store.publish(stage, "snapshot", "fork")
    assert os.listdir(staging) == os.listdir(trash) == []
    assert titles(store) == ["base", "fork"]


def test_the_world_may_change_between_plan_and_apply(store: Store) -> None:
    one, two, three = (step(store, key) for key in ("one", "two", "three"))
    planned = plan(store)
    assert len(planned) == 3
    store.snapshot(one, "needed")
    with store.lock(two.id):
        assert apply(store, [*planned, Removal("gone", "", 0, "0" * 16)]) == []
    assert titles(store) == ["needed", "one", "two"]
    assert apply(store, plan(store)) == []
    assert titles(store) == ["needed", "one"]
    assert three.id not in os.listdir(f"{store.path}/trees")


def test_one_failure_stops_nobody(store: Store) -> None:
    """Something is mounted in one tree: the others go, and it is said."""
    import subprocess

    for key in ("one", "two", "three"):
        step(store, key)
    tree = store.by_key("two")
    if store.backend.name == "overlay":
        place = f"{store.path}/layers/{tree.layout['layers'][0]}/fs/mounted"
    else:
        place = f"{tree.home}/root/mounted"
    os.mkdir(place)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    try:
        Path(place, "precious").touch()
        (failure,) = apply(store, plan(store))
        assert "mounted" in failure
        (left,) = plan(store)
    finally:
        moved = place if os.path.lexists(place) else f"{store.path}/trash/{tree.id}/root/mounted"
        assert os.listdir(moved) == ["precious"]
        subprocess.run(["umount", moved], check=True)
    assert titles(store) == []
    assert apply(store, [left]) == []
    assert plan(store) == []


def test_a_dry_run_changes_nothing_and_disturbs_nobody(store: Store) -> None:
    tree = step(store, "dead")

    def state() -> list[tuple[str, int]]:
        return sorted((path, os.lstat(path).st_mtime_ns) for path, *_ in os.walk(store.path))

    before = state()
    plan(store)
    assert state() == before
    with store.lock(tree.id, exclusive=True):
        assert plan(store) == []
        with pytest.raises(BusyError):
            store.lock(tree.id)


def test_what_is_begun_while_a_prune_looks_is_left_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its look at staging/ and at what the backend keeps."""
    base, orphans, begun = make(store, "base"), store.backend.orphans, []

    def look(live, making):
        if not begun:
            begun.append(store.stage())
            begun[0].fork(base)
            with opened(store, begun[0]) as root:
                (root / "mine").touch()
        return orphans(live, making)

    monkeypatch.setattr(store.backend, "orphans", look)
    assert store.sweep() == []
    with begun[0] as stage:
        tree = store.publish(stage, "snapshot", "new")
    with opened(store, tree) as root:
        assert (root / "mine").exists()


def test_the_lock_of_a_tree_that_went_meanwhile_is_not_left(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    base = make(store, "base")
    attempt = locks.attempt

    def late(path: str, exclusive: bool, **more: Any) -> locks.Lock | None:
        monkeypatch.undo()
        store.remove([base])
        return attempt(path, exclusive, **more)

    monkeypatch.setattr(locks, "attempt", late)
    with pytest.raises(NotFoundError):
        store.lock(base.id)
    assert os.listdir(f"{store.path}/locks") == ["store"]
