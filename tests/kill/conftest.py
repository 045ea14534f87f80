from collections.abc import Iterator
from pathlib import Path

import filesystems
import pytest

CASES = [("overlay", "ext4"), ("overlay", "xfs"), ("copy", "ext4"), ("copy", "xfs"), ("btrfs", "btrfs")]


@pytest.fixture(scope="module", params=CASES, ids="@".join)
def ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A backend's name, and a folder on a filesystem for it."""
    backend, filesystem = request.param
    if backend == "btrfs":
        pytest.importorskip("btrfsutil", reason="pip install -e '.[btrfs]'; ci/test does")
    with filesystems.GROUND[filesystem](tmp_path_factory.mktemp(filesystem)) as folder:
        yield backend, folder
