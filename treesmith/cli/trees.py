"""ls, path, snapshot, rename, rm, seal. Hot: what is slow to import is imported where it is needed."""

from treesmith.errors import Error
from treesmith.store import Damaged, Tree, open_store
from treesmith.ui import listing
from treesmith.ui.words import moment, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from treesmith.backends.values import Usage
    from treesmith.store import Store
    from treesmith.verbs.declare import Asked


def ls(asked: "Asked", all: bool, size: bool, json: bool) -> None:
    store = open_store(asked.store)
    trees = store.trees()
    names = {tree.id: tree.title for tree in trees}
    shown = [tree for tree in trees if all or tree.name or isinstance(tree, Damaged)]
    shown.sort(key=lambda tree: (not tree.name, tree.name, tree.created if isinstance(tree, Tree) else 0))
    sizes = _sizes(store, shown, trees) if size else {}
    if json:
        listing.document(trees=[_described(tree, names, sizes) for tree in shown])
        return
    columns = ("name", "id", "kind", "state", *(("own", "shared") if size else ()), "created", "from")
    rows = [_row(tree, names, sizes if size else None) for tree in shown]
    listing.table(columns, rows, frozenset({"own", "shared"}), empty="no trees")


def _row(tree: "Tree | Damaged", names: "dict[str, str]", sizes: "dict[str, Usage] | None") -> "listing.Row":
    name, id = listing.Styled(tree.name or "-", listing.BOLD), listing.Styled(f"@{tree.id[:8]}", listing.DIM)
    measured = () if sizes is None else _measured(sizes.get(tree.id))
    if isinstance(tree, Damaged):
        return name, id, "?", listing.Styled("damaged", listing.RED), *measured, "?", tree.why
    state = "sealed" if tree.sealed else "writable"
    return name, id, tree.kind, state, *measured, moment(tree.created), origin(tree, names)


def _described(
    tree: "Tree | Damaged", names: "dict[str, str]", sizes: "dict[str, Usage]"
) -> "dict[str, str | int | bool | None]":
    fields = ("kind", "sealed", "created", "parent")
    if isinstance(tree, Damaged):
        record = {**dict.fromkeys(fields), "from": None, "damaged": tree.why}
    else:
        record = {name: getattr(tree, name) for name in fields}
        record.update({"from": origin(tree, names) or None, "damaged": None})
    usage = sizes.get(tree.id)
    own, shared = (usage.exclusive, usage.shared) if usage else (None, None)
    return {"name": tree.name or None, "id": tree.id, **record, "bytes": own, "shared_bytes": shared}


def origin(tree: Tree, names: "dict[str, str]") -> str:
    """What a tree was made from, as people call it: a recipe or another tree. names: id -> title."""
    if tree.kind != "snapshot" and tree.recipe:
        return str(tree.recipe.get("path", ""))
    parent = names.get(tree.parent or "", "")
    if tree.parent and (not parent or parent.startswith("@")):
        return f"@{tree.parent[:8]}"
    return parent


def _measured(usage: "Usage | None") -> "tuple[str, str]":
    return (size(usage.exclusive), size(usage.shared)) if usage else ("?", "?")


def _sizes(store: "Store", shown: "Iterable[Tree | Damaged]", trees: "list[Tree | Damaged]") -> "dict[str, Usage]":
    meter = store.backend.measure([tree for tree in trees if isinstance(tree, Tree)])
    return {tree.id: meter.usage(tree) for tree in shown if isinstance(tree, Tree)}


def path(asked: "Asked", tree: str) -> None:
    store = open_store(asked.store)
    found = store.find(tree)
    if store.backend.traits.host_path:
        print(f"{found.home}/root")
        return
    from treesmith.store import mounted

    at = mounted.where(found.id)
    if not at:
        raise Error(
            f"{found.title} has no path of its own",
            f"with the backend {store.backend.name} a root is nowhere until it is mounted",
            f"treesmith mount {tree}",
        )
    print(at)


def snapshot(asked: "Asked", source: str, name: str) -> None:
    store = open_store(asked.store)
    stood: list[float] = []
    made = store.snapshot(store.find(source), name, stood=stood.append)
    if not asked.quiet:
        cost = f", which was frozen for {stood[0]:.0f} ms" if stood else ""
        listing.say(f"{made.title} is a writable copy of {source}{cost}")


def rename(asked: "Asked", old: str, new: str) -> None:
    tree = open_store(asked.store).rename(old, new)
    if not asked.quiet:
        listing.say(f"{old} is now {tree.title}")


def seal(asked: "Asked", tree: str) -> None:
    store = open_store(asked.store)
    found = store.find(tree)
    if not found.sealed:
        store.seal(found)
    if not asked.quiet:
        listing.say(f"{found.title} is sealed" if not found.sealed else f"{found.title} was sealed already")


def pin(asked: "Asked", tree: str, off: bool) -> None:
    store = open_store(asked.store)
    found = store.find(tree)
    if found.pin == off:
        store.update(found, pin=not off)
    if not asked.quiet:
        listing.say(f"{found.title} is {'no longer ' if off else ''}pinned")


def rm(asked: "Asked", trees: "tuple[str, ...]", recursive: bool, dry_run: bool) -> None:
    store = open_store(asked.store)
    known = {tree.id: tree for tree in store.trees()}
    targets = [known[id] for id in dict.fromkeys(store.identify(tree) for tree in trees) if id in known]
    if dry_run:
        for tree in store.removal(targets, recursive):
            print(f"{tree.title}{_because(tree, targets, known)}")
        return
    for tree in store.remove(targets, recursive):
        if not asked.quiet:
            listing.say(f"removed {tree.title}")


def _because(tree: "Tree | Damaged", targets: "list[Tree | Damaged]", known: "dict[str, Tree | Damaged]") -> str:
    parent = known.get(tree.parent or "") if isinstance(tree, Tree) else None
    return f"  (from {parent.title})" if parent and tree not in targets else ""
