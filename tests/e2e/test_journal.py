"""A journal where the host's journalctl finds it. Real ones are in test_boot_online."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from launching import Trees

JOURNALS = Path("/var/log/journal")
WRITE = "d=/var/log/journal/$(cat /etc/machine-id); echo kept >$d/words; stat -c %u:%g $d; poweroff -f; sleep 9"


@pytest.fixture
def journals() -> Iterator[None]:
    """The host's, empty."""
    made = not JOURNALS.exists()
    JOURNALS.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "journals", JOURNALS], check=True)
    yield
    subprocess.run(["umount", JOURNALS], check=True)
    if made:
        JOURNALS.rmdir()


def boot(trees: Trees, tree: str, *options: str) -> subprocess.CompletedProcess[str]:
    return trees.run("launch", "-q", "--boot", "--link-journal", *options, tree, "--", "/bin/sh", "-c", WRITE)


@pytest.mark.usefixtures("journals")
def test_it_is_linked_and_stays(trees: Trees) -> None:
    tree = trees.store.snapshot(trees.store.find("base"), "journaled")
    for _ in range(2):
        done = boot(trees, tree.name)
        assert (done.returncode, done.stdout) == (0, "0:0\n"), done.stderr
    (link,) = JOURNALS.iterdir()
    assert link.joinpath("words").read_text() == "kept\n"
    assert link.resolve() == Path(tree.home, "journal")
    assert link.joinpath("words").owner() == "root"
    assert Path(trees.store.path).stat().st_mode & 0o077 == 0  # nobody else comes by
    assert trees.run("launch", "-q", "journaled", "--", "ls", "/var/log").returncode == 1  # the tree has none of it

    trees.store.remove([trees.store.find("journaled")])
    trees.store.snapshot(trees.store.find("base"), "another")
    boot(trees, "another")
    assert len(list(JOURNALS.iterdir())) == 1 and not link.is_symlink()
    trees.store.remove([trees.store.find("another")])


@pytest.mark.usefixtures("journals")
def test_what_is_not_ours_stays(trees: Trees, tree: str) -> None:
    assert not boot(trees, tree).returncode
    (link,) = JOURNALS.iterdir()
    link.unlink()
    link.mkdir()
    done = boot(trees, tree)
    assert done.returncode == 125 and f"{link} is there, and not ours" in done.stderr
    link.rmdir()
    link.symlink_to("/etc")
    assert boot(trees, tree).returncode == 125 and link.readlink() == Path("/etc")


@pytest.mark.usefixtures("journals")
@pytest.mark.parametrize("words", [("base",), ("--ephemeral", "TREE")])
def test_not_of_a_throw_away_copy(trees: Trees, tree: str, words: tuple[str, ...]) -> None:
    done = trees.run("launch", "-q", "--boot", "--link-journal", *(tree if word == "TREE" else word for word in words))
    assert done.returncode == 125 and "nothing is kept of a throw-away copy" in done.stderr
    assert not list(JOURNALS.iterdir())


def test_where_it_cannot_be(trees: Trees, tree: str) -> None:
    done = trees.run("launch", "-q", "--link-journal", tree, "--", "true")
    assert done.returncode == 125 and "--link-journal is for a boot" in done.stderr
    hide = 'mount -t tmpfs none /var/log; exec "$@"'
    done = trees.apart(hide, "launch", "-q", "--boot", "--link-journal", tree)
    assert done.returncode == 125 and "the host keeps no journals" in done.stderr
