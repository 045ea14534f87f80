from collections.abc import Iterator
from pathlib import Path

import pytest

from treesmith.store import Store, create_store


@pytest.fixture(params=["overlay", "copy"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = create_store(str(tmp_path / "store"), request.param)
    yield made
    made.backend.clear(made.path)
