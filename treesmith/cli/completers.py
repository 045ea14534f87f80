"""The words that a shell offers. Never fails: a completion that raises prints into the prompt."""

from treesmith.errors import Error


def words(kind: str, store: str) -> list[str]:
    """kind: "containers", "trees" or "recipes". store: as given with --store, "" for the default one."""
    try:
        return sorted(_KINDS[kind](store))
    except (Error, OSError):
        return []


def _trees(store: str) -> list[str]:
    from treesmith.store import open_store

    return list(open_store(store).names())


def _containers(store: str) -> list[str]:
    from treesmith.launch import containers
    from treesmith.store import open_store

    return [record["name"] for record in containers.running(open_store(store).path)]


def _recipes(store: str) -> list[str]:
    """Their files' names alone: nothing is parsed."""
    from treesmith.recipe.search import folders, listing

    return [found.name for found in listing(folders())]


_KINDS = {"containers": _containers, "trees": _trees, "recipes": _recipes}
