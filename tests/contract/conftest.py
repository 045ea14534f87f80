"""The contract of backends, tried on each with each filesystem that it is for, and its table at the end of the run."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import filesystems
import pytest
from table import Table

from treesmith.store import Store, create_store

CASES = [
    ("overlay", "ext4"),
    ("overlay", "xfs"),
    ("copy", "ext4"),
    ("copy", "xfs"),
    ("copy", "btrfs"),
    ("btrfs", "btrfs"),
]
if os.path.exists("/dev/zfs"):  # in the guest: see tests/guest
    CASES.append(("zfs", "zfs"))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Table(config.getoption("--table")))


@pytest.fixture(scope="session", params=CASES, ids="@".join)
def ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A backend's name, and a folder on a filesystem for it."""
    backend, filesystem = request.param
    if backend == "btrfs":
        pytest.importorskip("btrfsutil", reason="pip install -e '.[btrfs]'; ci/test does")
    with filesystems.GROUND[filesystem](tmp_path_factory.mktemp(filesystem)) as folder:
        yield backend, folder


@pytest.fixture
def store(ground: tuple[str, Path], request: pytest.FixtureRequest) -> Iterator[Store]:
    backend, folder = ground
    store = create_store(str(folder / "store"), backend)
    yield store
    for folder in ("trees", "staging", "trash"):
        for home in Path(store.path, folder).iterdir():
            store.backend.clear(str(home))
    for orphan in store.backend.orphans([], frozenset()):
        store.backend.clear(orphan)
    store.backend.clear(store.path)


@pytest.fixture
def declared(record_property: Callable[[str, object], None]) -> Callable[[], None]:
    """To be called by a test that has shown an exception which the backend declares in its traits."""
    return lambda: record_property("declared", True)
