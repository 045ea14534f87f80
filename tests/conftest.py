"""Every test runs as root on the real kernel, and must leave the host as it found it."""

import os
from collections.abc import Iterator

import leaks
import pytest


def pytest_configure() -> None:
    if os.geteuid():
        pytest.exit("the tests need root: they mount, and make user namespaces", returncode=1)
    leaks.adopt_orphans()


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    before = leaks.state()
    yield
    left = leaks.since(before)
    assert not left, "left on the host: " + ", ".join(sorted(left))
