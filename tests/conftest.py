"""Every test runs as root on the real kernel, and must leave the host as it found it."""

import os
import signal
from collections.abc import Iterator

import ground
import leaks
import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", metavar="FILE", help="do not draw the contract suite's table, put it there")


def pytest_configure(config: pytest.Config) -> None:
    if os.geteuid():
        pytest.exit("the tests need root: they mount, and make user namespaces", returncode=1)
    # Ignored by nohup, or a shell's &; the commands under test would obey.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    before = ground.take()
    config.add_cleanup(lambda: ground.leave(before))


@pytest.fixture(autouse=True, scope="session")
def _base(tmp_path_factory: pytest.TempPathFactory) -> None:
    leaks.base = tmp_path_factory.getbasetemp()


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    before = leaks.state()
    yield
    left = leaks.since(before)
    assert not left, "left on the host: " + ", ".join(sorted(left))
