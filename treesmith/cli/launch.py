"""launch, enter."""

from treesmith import spec
from treesmith.launch.supervise import launch as start
from treesmith.store import open_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from treesmith.verbs.declare import Asked


def launch(asked: "Asked", tree: str, command: "tuple[str, ...]", *, from_checkpoint: bool, **options: "Any") -> int:
    """options: as declared; `spec.make` has the same names for them."""
    store = open_store(asked.store)
    found = store.find(tree)
    if from_checkpoint:
        wanted = spec.restored(found.launch, command, quiet=asked.quiet, **options)
    else:
        wanted = spec.make(found.launch, command, quiet=asked.quiet, **options)
    result = start(store, found, wanted)
    if isinstance(result, int):
        return result
    print(result)
    return 0


def enter(asked: "Asked", name: str, command: "tuple[str, ...]", **options: "Any") -> int:
    """What is not said is as the container was launched, but for the command: without one, a shell."""
    from treesmith.launch import containers
    from treesmith.launch.join import join

    record = containers.find(open_store(asked.store).path, name)
    inside = record.get("inside", {})
    defaults = {key: inside[key] for key in ("env", "user", "chdir") if key in inside}
    return join(record, spec.make(defaults, command, quiet=asked.quiet, **options))
