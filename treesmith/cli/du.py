"""du."""

from treesmith.store import Tree, open_store
from treesmith.ui import bars, listing
from treesmith.verbs.declare import Asked


def du(asked: Asked, trees: tuple[str, ...], all: bool, json: bool) -> None:
    store = open_store(asked.store)
    live = [tree for tree in store.trees() if isinstance(tree, Tree)]
    wanted = {store.find(tree).id for tree in trees} or {tree.id for tree in live if all or tree.name}
    meter = store.backend.measure(live)
    found = [(tree, meter.whole(tree)) for tree in live if tree.id in wanted]
    found.sort(key=lambda each: (-(each[1].exclusive or 0), each[0].title))
    if not json:
        bars.show([(tree.title, usage) for tree, usage in found])
        return
    listing.document(
        trees=[
            {
                "name": tree.name or None, "id": tree.id,
                "exclusive": usage.exclusive, "shared": usage.shared, "apparent": usage.apparent,
            }
            for tree, usage in found
        ]
    )  # fmt: skip
