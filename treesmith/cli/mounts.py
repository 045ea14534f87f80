"""mount, umount."""

from treesmith.store import mounts, open_store
from treesmith.ui import listing
from treesmith.verbs.declare import Asked


def mount(asked: Asked, tree: str, dir: str) -> None:
    store = open_store(asked.store)
    print(mounts.mount(store, store.find(tree), dir))


def umount(asked: Asked, tree: str) -> None:
    mounted = mounts.find(open_store(asked.store), tree)
    mounts.unmount(mounted)
    if not asked.quiet:
        listing.say(f"{mounted.name or '@' + mounted.id} is no longer on {mounted.place}")
