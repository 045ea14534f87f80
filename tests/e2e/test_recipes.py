"""The shipped recipes: that each is right with what it is from; bases from a repository that needs no network."""

import pytest
from command import Command
from offline.debian import debian
from offline.rpm import fedora

from treesmith import recipe
from treesmith.recipe.search import SHIPPED, listing
from treesmith.store import Store


@pytest.mark.parametrize("name", [found.name for found in listing([SHIPPED])])
def test_right(name: str) -> None:
    chain = recipe.chain(name, search=[SHIPPED])
    assert chain[-1].description and all(one.path.startswith(SHIPPED) for one in chain)


@pytest.mark.parametrize("store", ["overlay"], indirect=True)
def test_an_ubuntu(store: Store, treesmith: Command) -> None:
    sets = [*debian().sets, "--set=suite=bookworm", "--set=components=main"]
    treesmith("build", *sets, "ubuntu-base")
    assert "Debian of the tests" in treesmith("launch", "-q", "ubuntu-base", "--", "cat", "/etc/os-release").stdout
    done = treesmith("build", "ubuntu-base", "--name=other", "--set=keyring=/nowhere.gpg", status=2)
    assert "no keyring /nowhere.gpg" in done.stderr


@pytest.mark.parametrize("store", ["overlay"], indirect=True)
def test_an_opensuse(store: Store, treesmith: Command) -> None:
    sets = [f"--set=mirror=file://{fedora().folder}", f"--set=keyring={fedora().keyring}"]
    treesmith("build", *sets, "--set=packages=busybox,fedora-release", "opensuse-base")
    assert store.find("opensuse-base").steps[0]["made"]["driver"].startswith("zypper")
    assert "No provider of 'openSUSE-release' found" in treesmith("build", *sets, "opensuse-init", status=1).stderr
