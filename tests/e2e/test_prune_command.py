"""prune from the command line; what it takes and leaves is tried in tests/store."""

import json
import os
import signal
from pathlib import Path

from command import Command, holder, make_tree

from treesmith.names import new_id
from treesmith.store import Store, Tree, mounted


def test_a_plan_and_its_doing(treesmith: Command, store: Store, base: Tree) -> None:
    with store.stage() as stage:
        stage.fork(base)
        step = store.publish(stage, "step", key="k" * 64, sealed=True)
    lines = treesmith("prune", "--dry-run").stdout.splitlines()
    assert lines[0].split() == ["WHAT", "SIZE", "WHY"]
    assert lines[1].startswith(f"@{step.id}")
    assert "a step that no tree is made of any more" in lines[1]
    planned = json.loads(treesmith("prune", "--dry-run", "--json").stdout)
    assert [(removal["tree"], removal["bytes"] is None) for removal in planned["removals"]] == [(step.id, False)]
    assert planned["version"] == 1
    assert "nothing to remove" in treesmith("prune", "--dry-run", "--step-age", "1").stderr
    done = treesmith("prune")
    assert step.id in done.stdout
    assert "1 thing, " in done.stderr
    assert {tree.id for tree in store.trees()} == {base.id}
    assert "nothing to remove" in treesmith("prune").stderr


def test_snapshots_go_only_when_asked_for(treesmith: Command, store: Store, base: Tree) -> None:
    for name in ("one", "two", "three"):
        store.snapshot(base, name)
    treesmith("prune")
    assert len(store.names()) == 4
    assert "--keep-last" not in treesmith("prune", "--keep-last", "1", "--older-than", "1").stderr
    assert len(store.names()) == 4
    treesmith("--quiet", "prune", "--keep-last", "1")
    assert len(store.names()) == 2


def test_a_superseded_tree_goes_with_its_last_descendant(treesmith: Command, store: Store, base: Tree) -> None:
    store.snapshot(base, "web")
    make_tree(store, "base")
    assert set(store.names()) == {"base", "base@1", "web"}
    assert "nothing to remove" in treesmith("prune").stderr
    treesmith("rm", "web")
    assert "base@1" in treesmith("prune").stdout
    assert set(store.names()) == {"base"}


def test_what_killed_processes_left_goes(treesmith: Command, store: Store, base: Tree) -> None:
    web = store.snapshot(base, "web")
    treesmith("mount", "web")
    os.kill(holder(web), signal.SIGKILL)
    abandoned = Path(store.path, "staging", f"01234567-{new_id()}")
    (abandoned / "root").mkdir(parents=True)
    assert treesmith("prune", "--dry-run").stdout.count("staging/") == 1
    assert mounted.mounts()
    treesmith("prune")
    assert not mounted.mounts()
    assert not abandoned.exists()
