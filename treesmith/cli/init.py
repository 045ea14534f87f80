"""init, and what is said wherever a store is made."""

from treesmith.backends.choose import Tried, maps, missed
from treesmith.store import Store, create_store
from treesmith.ui import listing
from treesmith.verbs.declare import Asked


def init(asked: Asked, backend: str, json: bool) -> None:
    tried: list[Tried] = []
    store = create_store(asked.store, backend, tried.append)
    if json:
        listing.document(
            store=store.path,
            backend=store.backend.name,
            made=bool(tried),
            tried=[
                {"backend": each.name, "works": bool(each.traits), "why": each.why, "advice": each.advice}
                for each in tried
            ],
        )
        return
    if asked.quiet:
        return
    if not tried:
        listing.say(f"{store.path} is a store already, kept by {store.backend.name}; what works: treesmith doctor")
        return
    listing.table(("backend", "works", "why"), [_row(each, store, bool(backend)) for each in tried])
    listing.say(f"{store.path} is a store now, kept by {store.backend.name}")
    _regret(tried, store)


def _row(tried: Tried, store: Store, named: bool) -> listing.Row:
    if not tried.traits:
        return tried.name, listing.Styled("no", listing.DIM), tried.why
    why = "" if tried.traits.keeps_links else "a hard link is split when it is written through"
    if not maps(tried):
        why = "no id-mapped mounts: launches there need --private-users no"
    if tried.name == store.backend.name:
        reason = "asked for" if named else "chosen: the first that works"
        why = f"{reason}; {why}" if why else reason
    return tried.name, listing.Styled("yes", listing.GREEN), why


def made(asked: Asked) -> Store:
    """The store, for whoever needs one. A new one is spoken of only if the machine could do better."""
    tried: list[Tried] = []
    store = create_store(asked.store, told=tried.append)
    _regret(tried, store)
    return store


def _regret(tried: list[Tried], store: Store) -> None:
    better = missed(tried, store.backend.name)
    if better:
        listing.say(f"{better.name} would work there and be better: {better.why}")
        listing.say(f"  {better.advice}; then treesmith migrate --to {better.name}:DIR")
