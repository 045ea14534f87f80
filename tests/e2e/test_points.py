"""What was made in a root to mount at, and is removed by somebody else than who had it made."""

import os
from pathlib import Path

import pytest
from launching import Trees

from treesmith.linux.remove import remove_tree
from treesmith.sandbox import point
from treesmith.store import records


def noted(folder: Path, *points: tuple[str, int]) -> str:
    """The file, made as a launch does."""
    made = point.Made()
    made.notes = str(folder / "notes")
    made.take(b"".join(b"%d %s\0" % (inode, os.fsencode(path)) for path, inode in points), [-1] * len(points))
    return made.notes


def cleared(root: Path, notes: str) -> None:
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        point.clear(fd, notes)
    finally:
        os.close(fd)
    assert not os.path.lexists(notes)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/a/b").mkdir(parents=True)
    (tmp_path / "root/a/file\n").touch()
    return tmp_path / "root"


def inode(path: Path) -> int:
    return path.lstat().st_ino


def test_what_is_still_as_it_was_made(root: Path, tmp_path: Path) -> None:
    deep = (("/a", inode(root / "a")), ("/a/b", inode(root / "a/b")), ("/a/file\n", inode(root / "a/file\n")))
    cleared(root, noted(tmp_path, *deep))
    assert os.listdir(root) == []


def test_what_was_perhaps_not_made_yet(root: Path, tmp_path: Path) -> None:
    cleared(root, noted(tmp_path, ("/a/b", 0), ("/a/c", 0), ("/x/y", 0)))
    assert os.listdir(root / "a") == ["file\n"]


def test_what_is_another_one_or_in_use_stays(root: Path, tmp_path: Path) -> None:
    (root / "a/b/kept").touch()
    (root / "a/file\n").write_text("x")
    points = (("/a/b", inode(root / "a/b")), ("/a/file\n", inode(root / "a/file\n")), ("/a", 1))
    cleared(root, noted(tmp_path, *points))
    assert sorted(os.listdir(root / "a")) == ["b", "file\n"]


def test_a_path_that_leads_out_by_now(root: Path, tmp_path: Path) -> None:
    """What ran there has put a link in its way."""
    (tmp_path / "decoy/b").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path / "decoy")
    (root / "up").symlink_to("../decoy")
    cleared(root, noted(tmp_path, ("/out/b", 0), ("/up/b", 0), ("/out", 0), ("/../decoy/b", 0)))
    assert os.listdir(tmp_path / "decoy") == ["b"] and (root / "out").is_symlink()


@pytest.mark.parametrize("content", [b"", b"\0\0", b"0 ", b"garbage\0", b"x /a/b\0", b"0 /a/b", os.urandom(5000)])
def test_notes_that_are_none(root: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes").write_bytes(content)
    cleared(root, str(tmp_path / "notes"))
    assert sorted(os.listdir(root / "a")) == ["b", "file\n"]
    cleared(root, str(tmp_path / "notes"))


def test_after_a_power_cut(trees: Trees, tree: str) -> None:
    """When /run has forgotten: by whoever has the tree next, and by a prune."""
    found = trees.store.find(tree)
    for number, verb in enumerate((("launch", "-q", tree, "--", "ls", "/srv"), ("prune", "-q"))):
        trees.sh("mkdir -p /srv/data", tree=tree)
        Path(found.home, records.POINTS).write_bytes(b"0 /srv\0000 /srv/data\0")
        done = trees.run(*verb)
        assert done.returncode == (1, 0)[number], done
        assert records.POINTS not in os.listdir(found.home)
        assert trees.sh("ls -d /srv 2>&1; true", tree=tree).endswith("No such file or directory\n")


def test_a_snapshot_of_what_runs_has_none(trees: Trees, tree: str) -> None:
    words = ("launch", "-q", "--bind=/usr:/srv/data:ro", tree, "--", "sh", "-c", "mkdir /srv/own; echo up; sleep 99")
    with trees.start(*words) as process:
        assert process.stdout and process.stdout.readline() == b"up\n"
        assert trees.run("snapshot", tree, "copied").returncode == 0
        process.terminate()
        process.communicate()
    for name in ("copied", tree):
        assert trees.sh("ls /srv", tree=name) == "own\n"
    assert trees.run("rm", "copied").returncode == 0


def test_a_store_that_is_gone(trees: Trees, tmp_path: Path) -> None:
    """What a killed launch has left in it holds nobody up."""
    other = Trees(tmp_path / "other")
    name = other.fresh()
    with other.start("launch", "-q", "--bind=/usr:/data:ro", name, "--", "sh", "-c", "echo up; sleep 99") as process:
        assert process.stdout and process.stdout.readline() == b"up\n"
        process.kill()
    remove_tree(other.store.path)
    assert trees.sh("echo fine") == "fine\n"
