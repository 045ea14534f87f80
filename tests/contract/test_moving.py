"""A store moves to another backend and back, and nothing is different."""

from pathlib import Path

from woods import go, same, wipe, wood

from treesmith.store import open_store


def test_away_and_back(ground: tuple[str, Path]) -> None:
    backend, folder = ground
    other = "overlay" if backend == "copy" else "copy"
    stores = [wood(folder / "source", backend)]
    for to, name in ((other, "away"), (backend, "back")):
        assert go(stores[-1], to, folder / name) == 6
        stores.append(open_store(str(folder / name)))
        assert stores[-1].backend.name == to
        same(stores[0], stores[-1])
    for store in stores:
        wipe(store)
