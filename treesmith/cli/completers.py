"""The words that a shell offers. Never fails: a completion that raises prints into the prompt."""

from treesmith.errors import Error


def words(kind: str, store: str) -> list[str]:
    """kind: "trees" or "recipes". store: as given with --store, "" for the default one."""
    try:
        return sorted(_KINDS[kind](store)) if kind in _KINDS else []
    except (Error, OSError):
        return []


def _trees(store: str) -> list[str]:
    from treesmith.store import open_store

    return list(open_store(store).names())


_KINDS = {"trees": _trees}
