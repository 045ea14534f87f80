"""Who descends from whom: superseding, removing, and what stands in the way."""

import os

import pytest
from forest import content
from grow import make, step, titles

from treesmith.errors import BusyError, Error, NotFoundError
from treesmith.store import Store


def leftover(store: Store) -> dict[str, list[str]]:
    return {
        folder: found
        for folder in ("staging", "trash", "keys")
        if (found := sorted(os.listdir(f"{store.path}/{folder}")))
    }


def test_a_tree_that_nobody_needs_makes_way(store: Store) -> None:
    old = make(store, "base")
    new = make(store, "base")
    assert store.names() == {"base": new.id}
    assert [tree.id for tree in store.trees()] == [new.id]
    assert old.id not in os.listdir(f"{store.path}/locks")
    assert leftover(store) == {}


def test_a_tree_with_descendants_stays_under_a_number(store: Store) -> None:
    first = make(store, "base")
    fork = store.snapshot(first, "fork")
    second = make(store, "base")
    assert store.names() == {"base": second.id, "base@1": first.id, "fork": fork.id}
    store.snapshot(second, "other")
    third = make(store, "base")
    assert store.names()["base"] == third.id
    assert store.find("base@2").id == second.id
    assert store.find("base@1").name == "base@1"
    store.remove([store.find("fork")])
    store.remove([store.find("base@1")])
    fourth = make(store, "base")
    assert store.names() == {"base": fourth.id, "base@2": second.id, "other": store.find("other").id}


def test_descent_counts_through_steps(store: Store) -> None:
    old = make(store, "base")
    one = step(store, "one", old)
    two = step(store, "two", one)
    make(store, "app", two)
    make(store, "base")
    assert store.names()["base@1"] == old.id
    store.remove([store.find("app")])
    with pytest.raises(NotFoundError):
        store.find("app")
    assert titles(store) == ["base", "base@1", "one", "two"]
    gone = store.remove([store.find("base@1")])
    assert [tree.id for tree in gone] == [two.id, one.id, old.id]
    assert titles(store) == ["base"]
    assert leftover(store) == {}


def test_steps_of_a_superseded_tree_go_along(store: Store) -> None:
    old = make(store, "base")
    step(store, "two", step(store, "one", old))
    new = make(store, "base")
    assert [tree.id for tree in store.trees()] == [new.id]
    assert leftover(store) == {}


@pytest.mark.parametrize("who", ["itself", "step"])
def test_what_is_in_use_or_pinned_is_not_superseded(store: Store, who: str) -> None:
    old = make(store, "base")
    below = step(store, "one", old)
    lock = store.lock(below.id if who == "step" else old.id)
    make(store, "base")
    assert store.names()["base@1"] == old.id
    lock.close()
    store.update(store.find("base"), pin=True)
    make(store, "base")
    assert store.find("base@2").pin
    assert titles(store) == ["base", "base@1", "base@2", "one"]


def test_a_tree_may_take_the_name_of_what_it_descends_from(store: Store) -> None:
    old = make(store, "base")
    new = make(store, "base", old)
    assert store.names() == {"base": new.id, "base@1": old.id}
    with pytest.raises(Error, match="forked from it: base"):
        store.remove([old])


def test_removal_is_refused_with_the_names(store: Store) -> None:
    base = make(store, "base")
    one = store.snapshot(step(store, "s", base), "one")
    two = store.snapshot(one, "two")
    make(store, "other")
    with pytest.raises(Error, match="forked from it: one, two") as caught:
        store.remove([base])
    assert "--recursive" in caught.value.hint
    assert store.removal([base, one, two])  # together they may go
    plan = [tree.title for tree in store.removal([base], recursive=True)]
    assert plan[0] == "two"
    assert plan[-1] == "base"
    assert len(titles(store)) == 5
    assert [tree.title for tree in store.remove([base], recursive=True)] == plan
    assert titles(store) == ["other"]
    assert leftover(store) == {}
    with pytest.raises(NotFoundError):
        store.remove([base])


def test_all_or_nothing(store: Store) -> None:
    trees = [make(store, name) for name in ("a", "b", "c")]
    with store.lock(trees[1].id), pytest.raises(BusyError, match="b is in use"):
        store.remove(trees)
    store.update(trees[2], pin=True)
    with pytest.raises(Error, match="c: pinned"):
        store.remove(trees)
    assert titles(store) == ["a", "b", "c"]
    store.update(trees[2], pin=False)
    store.remove(trees)
    assert titles(store) == []


def test_a_family_shares_and_each_may_go_first(store: Store) -> None:
    """Layers go with their last user, whatever the order."""
    base = make(store, "base")
    forks = [store.snapshot(base, f"fork-{number}") for number in range(3)]
    writable = store.snapshot(forks[0], "writable")
    grand = store.snapshot(writable, "grand")
    before = content(store, grand)
    for tree in forks[1:]:
        store.remove([tree])
    assert content(store, grand) == before
    store.remove([grand])
    assert content(store, store.find("writable"))
    store.remove([store.find("writable"), store.find("fork-0"), base])
    assert os.listdir(f"{store.path}/layers") == []
    assert os.listdir(f"{store.path}/locks") == ["store"]
