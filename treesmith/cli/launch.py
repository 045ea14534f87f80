"""launch."""

from treesmith import spec
from treesmith.launch import launch as start
from treesmith.store import open_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from treesmith.verbs.declare import Asked


def launch(asked: "Asked", tree: str, command: "tuple[str, ...]", **options: "Any") -> int:
    """options: as declared; `spec.make` has the same names for them."""
    store = open_store(asked.store)
    found = store.find(tree)
    result = start(store, found, spec.make(found.launch, command, quiet=asked.quiet, **options))
    if isinstance(result, int):
        return result
    print(result)
    return 0
