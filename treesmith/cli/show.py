"""show."""

from collections.abc import Mapping
from typing import Any

from treesmith.cli.trees import origin
from treesmith.store import Store, Tree, mounted, open_store
from treesmith.ui import listing
from treesmith.ui.words import moment
from treesmith.verbs.declare import Asked

_FIELDS = ("id", "kind", "parent", "key", "recipe", "steps", "created", "sealed", "launch", "labels", "pin", "layout")


def show(asked: Asked, tree: str, json: bool) -> None:
    store = open_store(asked.store)
    found = store.find(tree)
    if json:
        record = {name: getattr(found, name) for name in _FIELDS}
        listing.document(tree={"name": found.name or None, "home": found.home, **record})
        return
    listing.fields([(name, value) for name, value in _shown(store, found) if value])


def _shown(store: Store, tree: Tree) -> list[tuple[str, str]]:
    parent = tree.parent or ""
    state = "sealed" if tree.sealed else "writable"
    return [
        ("name", listing.Styled(tree.name, listing.BOLD)),
        ("id", f"@{tree.id}"),
        ("kind", tree.kind),
        (
            "state",
            ", ".join([state, *(["pinned"] if tree.pin else []), *(["in use"] if store.in_use(tree.id) else [])]),
        ),
        ("created", moment(tree.created)),
        ("from", origin(tree, {parent: store.name_of(parent)}) if tree.kind == "snapshot" else ""),
        ("recipe", _recipe(tree.recipe or {})),
        ("steps", "\n".join(step_title(step) for step in tree.steps)),
        ("launch", _table(tree.launch)),
        ("labels", _table(tree.labels)),
        ("backend", store.backend.name),
        ("home", tree.home),
        ("mounted", mounted.where(tree.id)),
    ]


def step_title(step: Mapping[str, Any]) -> str:
    """A step of a record, in a few words: "apt (tools)"."""
    name = step.get("name")
    return f"{step.get('kind', '?')} ({name})" if name else str(step.get("kind", "?"))


def _recipe(recipe: Mapping[str, Any]) -> str:
    values = [f"{name} = {_value(value)}" for name, value in recipe.get("set", {}).items()]
    return "\n".join([str(recipe.get("path", "")), *values])


def _table(table: Mapping[str, Any]) -> str:
    return "\n".join(f"{name} = {_value(value)}" for name, value in table.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={part}" for name, part in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
