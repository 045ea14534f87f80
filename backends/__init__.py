"""How a store keeps roots. `contract` says what every backend promises; each other module keeps it one way."""

from treesmith.errors import NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from treesmith.backends.btrfs import Btrfs
    from treesmith.backends.contract import Backend
    from treesmith.backends.copy import Copy
    from treesmith.backends.overlay import Overlay
    from treesmith.backends.zfs import Zfs

    _KEEPERS: tuple[Callable[[str], Backend], ...] = (Btrfs, Zfs, Overlay, Copy)  # checked to keep the contract

# name -> module:class. A third party's comes by the entry point group `treesmith.backends`.
BUILT_IN = {
    "btrfs": "treesmith.backends.btrfs:Btrfs",
    "zfs": "treesmith.backends.zfs:Zfs",
    "overlay": "treesmith.backends.overlay:Overlay",
    "copy": "treesmith.backends.copy:Copy",
}

PREFERRED = ("btrfs", "zfs", "overlay", "copy")  # for a new store, the first that works there


def keeper(name: str, store: str) -> "Backend":
    """The backend `name` for the store at absolute path `store`. Error: no such backend."""
    target = BUILT_IN.get(name) or _installed(name)
    if not target:
        raise NotFoundError(f"no backend {name!r}", hint=f"built in: {', '.join(BUILT_IN)}")
    module, _, cls = target.partition(":")
    backend: Backend = getattr(__import__(module, fromlist=("",)), cls)(store)  # importlib's is 0.5 ms more
    return backend


def _installed(name: str) -> str:
    """Asked only on a miss: importlib.metadata costs 40 ms."""
    from importlib.metadata import entry_points

    return next((point.value for point in entry_points(group="treesmith.backends", name=name)), "")
