"""check finds each kind of damage and nothing else; repair mends it, and loses nothing."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import damage
import pytest
from forest import content, opened
from grow import step, titles
from scenes import look, named

from treesmith.compare import differences
from treesmith.errors import NotFoundError
from treesmith.store import Store, open_store
from treesmith.store.check import check
from treesmith.store.prune import apply, plan
from treesmith.store.repair import repair


def said(store: Store) -> str:
    return "\n".join(f"{each.what}: {each.why}" for each in check(store.path).damage)


def files(store: Store) -> set[bytes]:
    """What the trees' files hold, wherever in the store they are."""
    return {
        Path(folder, name).read_bytes()
        for folder, _, names in os.walk(store.path)
        for name in names
        if name in ("made", "web", "other") and not Path(folder, name).is_symlink()
    }


def test_a_sound_store_has_no_damage(store: Store) -> None:
    assert check(store.path).damage == []
    damage.grove(store)
    before = look(Path(store.path))
    report = check(store.path)
    assert report.damage == []
    assert report.trees == 5
    assert look(Path(store.path)) == before


@pytest.mark.parametrize("kind", damage.MENDED, ids=lambda kind: kind.__name__)
def test_each_damage_is_found_and_mended(store: Store, kind: Callable[[Store], None]) -> None:
    if kind is damage.garbage_layout and store.backend.name == "copy":
        pytest.skip("copy has nothing in its layout")
    damage.grove(store)
    whole = {name: tree[0] for name, tree in named(store).items()}
    held = files(store)
    kind(store)
    before = look(Path(store.path))
    assert damage.MENDED[kind] in said(store)
    assert look(Path(store.path)) == before
    done, stuck, report = repair(store.path)
    assert done
    assert not stuck
    assert report.damage == check(store.path).damage == []
    assert held == files(store), "something was lost"
    names = store.names()
    if kind is damage.names_are_gone:
        assert len(names) == 3
        assert all(name.startswith("found-") for name in names)
    else:
        expected = {"base", "other"} | ({"web"} if kind not in damage.TREES else set())
        assert set(names) == expected
        for name in expected:
            assert not list(differences(whole[name], content(store, store.find(name))))
    once = look(Path(store.path))
    assert repair(store.path)[0] == []
    assert look(Path(store.path)) == once
    step(store, "later")
    open_store(store.path)
    assert apply(store, plan(store)) == []
    assert held <= files(store) or kind is damage.key_is_gone


def test_what_a_damaged_record_kept_from_being_reclaimed_comes_back(store: Store) -> None:
    damage.grove(store)
    other = store.find("other")
    stage = store.stage()
    stage.fork(other)
    damage.die(stage)
    damage.garbage_record(store)
    assert "nothing is reclaimed" in said(store)
    repair(store.path)
    assert check(store.path).damage == []
    assert titles(store) == ["base", "one", "other", "two"]


def test_what_lies_in_quarantine_says_where_it_was(store: Store) -> None:
    damage.grove(store)
    id = store.find("web").id
    damage.missing_record(store)
    repair(store.path)
    assert check(store.path).quarantine == (2 if store.backend.name == "overlay" else 1)
    about = Path(store.path, "quarantine", f"{id}.why").read_text()
    assert f'"was": "trees/{id}"' in about
    assert '"names": ["web"]' in about
    assert Path(store.path, "quarantine", id).is_dir()


def test_a_damaged_tree_in_use_stays_and_is_spoken_of(store: Store) -> None:
    damage.grove(store)
    web = store.find("web")
    lock = store.lock(web.id, exclusive=True)
    damage.garbage_record(store)
    before = look(Path(store.path))
    report = check(store.path)
    assert report.in_use == ["web"]
    done, stuck, report = repair(store.path)
    assert done == []
    assert set(stuck.values()) == {"web: in use"}
    assert report.damage
    assert look(Path(store.path)) == before
    lock.close()
    repair(store.path)
    assert check(store.path).damage == []


def test_a_record_of_a_later_version_is_left_alone(store: Store) -> None:
    damage.grove(store)
    path = damage.record(store.find("web"))
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    other = damage.record(store.find("other"))
    other.write_text("")
    before = look(Path(store.path))
    done, stuck, report = repair(store.path)
    assert done == []
    assert any("another version" in why for why in stuck.values())
    assert "use the treesmith that made it" in {each.advice for each in report.damage}
    assert look(Path(store.path)) == before


@pytest.mark.parametrize("text", ["", "{", '"x"', '{"version": 1}', '{"version": 9, "backend": "copy"}'])
def test_a_store_that_says_nothing_of_itself(store: Store, text: str) -> None:
    damage.grove(store)
    Path(store.path, "store.json").write_text(text)
    before = look(Path(store.path))
    assert [each.what for each in check(store.path).damage] == ["store.json"]
    done, _, report = repair(store.path)
    assert done == []
    assert report.damage
    assert look(Path(store.path)) == before


def test_no_store_is_no_damage_and_is_not_made(tmp_path: Path) -> None:
    for action in (check, repair):
        with pytest.raises(NotFoundError):
            action(str(tmp_path / "none"))
    assert list(tmp_path.iterdir()) == []


def test_a_mount_in_the_store_is_found_and_left(store: Store, tmp_path: Path) -> None:
    place = Path(store.path, "cache/a place")
    place.mkdir()
    subprocess.run(["mount", "--bind", tmp_path, place], check=True)
    try:
        assert "cache/a place: something is mounted there" in said(store)
        assert repair(store.path)[0] == []
        assert f"umount {place}" in {each.advice for each in check(store.path).damage}
    finally:
        subprocess.run(["umount", place], check=True)


def test_what_belongs_to_somebody_else_is_found(store: Store) -> None:
    os.chown(f"{store.path}/trees", 1000, 0)
    assert "trees: it belongs to user 1000" in said(store)
    os.chown(f"{store.path}/trees", 0, 0)


def test_who_is_making_a_tree_is_no_damage(store: Store) -> None:
    damage.grove(store)
    with store.stage() as stage:
        stage.fork(store.find("web"))
        with opened(store, stage) as root:
            (root / "new").touch()
        report = check(store.path)
        assert report.damage == []
        assert report.in_use == ["web"]
        assert repair(store.path)[0] == []
        store.publish(stage, "snapshot", "new")
    assert check(store.path).damage == []


def test_a_name_that_was_being_handed_over(store: Store) -> None:
    damage.grove(store)
    os.symlink(f"../trees/{store.find('web').id}", f"{store.path}/names/web@3")
    assert "two names" in said(store)
    repair(store.path)
    assert set(store.names()) == {"base", "other", "web"}
    os.symlink(f"../trees/{store.find('web').id}", f"{store.path}/names/twin")
    assert "two names" in said(store)
    assert repair(store.path)[0] == []


def test_what_is_in_layers_and_not_ours_is_never_removed(store: Store) -> None:
    Path(store.path, "layers/notes").mkdir()
    store.recover()
    assert Path(store.path, "layers/notes").is_dir()
