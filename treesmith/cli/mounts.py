"""mount, umount."""

from treesmith.store import mounted, mounts, open_store
from treesmith.ui import listing
from treesmith.verbs.declare import Asked


def mount(asked: Asked, tree: str, dir: str) -> None:
    store = open_store(asked.store)
    print(mounts.mount(store, store.find(tree), dir))


def umount(asked: Asked, tree: str) -> None:
    found = mounted.find(open_store(asked.store), tree)
    mounts.unmount(found)
    if not asked.quiet:
        listing.say(f"{found.name or '@' + found.id} is no longer on {found.place}")
