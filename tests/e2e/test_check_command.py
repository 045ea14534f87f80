"""check and check --repair, as people type them."""

import json
import subprocess
from pathlib import Path

import damage
from command import Command
from scenes import look

from treesmith.store import Store


def test_a_sound_store(treesmith: Command, store: Store) -> None:
    damage.grove(store)
    done = treesmith("check")
    assert done.stdout == ""
    assert "5 trees, no damage" in done.stderr
    assert json.loads(treesmith("check", "--json").stdout)["damage"] == []


def test_damage_is_said_with_what_to_do_and_mended_on_demand(treesmith: Command, store: Store) -> None:
    damage.grove(store)
    damage.garbage_record(store)
    damage.name_with_a_strange_name(store)
    damage.open_to_others(store)
    before = look(Path(store.path))
    done = treesmith("check", status=1)
    assert "--repair: chmod 700" in done.stdout
    assert "names/Not\\nA name" in done.stdout
    assert "3 things damaged" in done.stderr or store.backend.name == "overlay"
    planned = treesmith("check", "--repair", "--dry-run", status=1)
    assert planned.stdout == done.stdout
    assert look(Path(store.path)) == before
    treesmith("ls", status=1)
    mended = treesmith("check", "--repair")
    assert "done: move it to quarantine/, with its record" in mended.stdout
    assert "no damage left" in mended.stderr
    assert "quarantine" in treesmith("check").stderr
    assert "web" not in treesmith("ls").stdout
    treesmith("prune")


def test_what_cannot_be_mended_says_what_a_person_can_do(treesmith: Command, store: Store, tmp_path: Path) -> None:
    place = Path(store.path, "cache/place")
    place.mkdir()
    subprocess.run(["mount", "--bind", tmp_path, place], check=True)
    try:
        answer = json.loads(treesmith("check", "--repair", "--json", status=1).stdout)
    finally:
        subprocess.run(["umount", place], check=True)
    assert answer["damage"] == [
        {"what": "cache/place", "why": "something is mounted there", "advice": f"umount {place}", "repair": "",
         "done": False}
    ]  # fmt: skip


def test_what_is_wrong_to_ask(treesmith: Command, store: Store) -> None:
    assert "--repair --dry-run" in treesmith("check", "--dry-run", status=2).stderr
    assert "no store at" in treesmith("--store", "/nowhere", "check", status=1).stderr
