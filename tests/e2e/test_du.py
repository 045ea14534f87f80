"""du."""

import json
import os
import sys
from pathlib import Path

import pytest
from command import Command, environment
from forest import opened
from launching import Terminal

from treesmith.store import Store, Tree


@pytest.fixture
def web(store: Store, base: Tree) -> Tree:
    web = store.snapshot(base, "web")
    with opened(store, web) as root:
        (root / "big").write_bytes(os.urandom(1 << 20))
    return web


def test_plain(treesmith: Command, web: Tree) -> None:
    lines = treesmith("du").stdout.splitlines()
    assert lines[0].split() == ["NAME", "OWN", "SHARED", "APPARENT"]
    assert [line.split()[0] for line in lines[1:]] == ["web", "base"]
    assert "MiB" in lines[1]
    assert len(treesmith("du", "base").stdout.splitlines()) == 2
    assert treesmith("du", "nothing", status=1).stdout == ""


def test_json(treesmith: Command, store: Store, web: Tree) -> None:
    document = json.loads(treesmith("du", "web", "--json").stdout)
    (tree,) = document["trees"]
    assert document["version"] == 1 and tree.keys() == {"name", "id", "exclusive", "shared", "apparent"}
    assert (tree["name"], tree["id"]) == ("web", web.id)
    if store.backend.name == "overlay":
        assert tree["exclusive"] >= 1 << 20 and tree["shared"] > 0
        assert tree["apparent"] >= 1 << 20


def test_bars_on_a_terminal(store: Store, web: Tree) -> None:
    argv = [sys.executable, "-m", "treesmith", "du"]
    with Terminal(argv, environment(Path(store.path))) as terminal:
        seen = terminal.expect("base")
        assert "█" in seen and "web" in seen
        assert terminal.end() == 0
