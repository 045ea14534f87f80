"""A disk that is really full: nothing is lost, nothing half-made is left, and removing works."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import filesystems
import pytest
from forest import content, opened
from grow import make, step, titles

from treesmith.errors import Error
from treesmith.store import Store, create_store
from treesmith.store.prune import apply, plan


@pytest.fixture(params=["overlay", "copy"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with filesystems.ext4(tmp_path, 32 * filesystems.MIB) as mounted:
        yield create_store(str(mounted / "store"), request.param)


def fill(store: Store) -> Path:
    """Down to the last block and the last inode."""
    ballast = Path(store.path, "cache/ballast")
    ballast.mkdir(exist_ok=True)
    blocks = (ballast / "blocks").open("ab", buffering=0)
    try:
        for number in range(100_000):
            (ballast / str(number)).touch()
    except OSError as error:
        assert error.errno == errno.ENOSPC
    with blocks:
        for size in (1 << 20, 4096, 512):
            try:
                while True:
                    blocks.write(b"x" * size)
            except OSError as error:
                assert error.errno == errno.ENOSPC
    return ballast


def test_nothing_is_lost_on_a_full_disk(small: Store) -> None:
    base = make(small, "base")
    web = small.snapshot(base, "web")
    step(small, "dead")
    before = [content(small, tree) for tree in (base, web)]
    ballast = fill(small)
    with pytest.raises(OSError, match="No space"):
        Path(small.path, "staging/more").touch()
    staging = os.listdir(f"{small.path}/staging")

    def scribbled() -> None:
        with small.stage() as stage:
            stage.fork(base)
            with opened(small, stage) as root:
                (root / "big").write_bytes(b"x" * (1 << 20))
            small.publish(stage, "build", "base")

    with pytest.raises((OSError, Error)) as caught:
        scribbled()
    assert "No space left" in str(caught.value)
    refused = 0
    for number in range(40):
        try:
            small.snapshot(web if number % 2 else base, f"n{number}")
        except (OSError, Error) as error:
            assert "No space left" in str(error)
            refused += 1
            assert os.listdir(f"{small.path}/staging") == staging
    assert refused
    names = small.names()
    assert {name for name in names if not name.startswith("n")} == {"base", "web"}
    assert [content(small, small.find(name)) for name in ("base", "web")] == before
    if refused < 40:
        small.remove([small.find(name) for name in names if name.startswith("n")])
    assert apply(small, plan(small)) == []
    small.remove([small.find("web")])
    assert titles(small) == ["base"]
    small.backend.clear(str(ballast))
    assert content(small, small.snapshot(small.find("base"), "again")) == before[0]
    assert small.recover() == []
    assert plan(small) == []
