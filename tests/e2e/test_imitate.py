"""A root becomes like another, whatever is in either, and nothing that is alike is touched."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from forest import manifest, plant

from treesmith.compare import differences, imitate


def alike(source: Path, target: Path, content: bool = False) -> None:
    ours, theirs = os.open(source, os.O_PATH), os.open(target, os.O_PATH)
    try:
        imitate(ours, theirs, content)
    finally:
        os.close(ours)
        os.close(theirs)
    assert not list(differences(manifest(source), manifest(target)))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    plant(tmp_path / "source")
    return tmp_path / "source", tmp_path / "target"


def inodes(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in root.rglob("*") if not path.is_dir()}


def test_of_nothing(pair: tuple[Path, Path]) -> None:
    alike(*pair)
    assert (pair[1] / "holes").stat().st_blocks < 1000
    before = inodes(pair[1])
    alike(*pair)
    alike(*pair, content=True)
    assert inodes(pair[1]) == before


def test_everything_goes(pair: tuple[Path, Path]) -> None:
    alike(*pair)
    (pair[0].parent / "empty").mkdir()
    alike(pair[0].parent / "empty", pair[1])
    assert not list(pair[1].iterdir())


def test_things_that_became_others(pair: tuple[Path, Path]) -> None:
    source, target = pair
    alike(*pair)
    outside = source.parent / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    shutil.rmtree(source / "dir")
    (source / "dir").write_text("a file now")
    (source / "null").unlink()
    (source / "null").mkdir()
    (source / "null/in").touch()
    (source / "sticky").rmdir()
    os.symlink(outside, source / "sticky")
    (source / "link").unlink()
    (source / "link").mkdir()
    (source / "link/new").write_text("new")
    shutil.rmtree(target / "etc")
    os.symlink(outside, target / "etc")
    alike(*pair)
    assert [path.name for path in outside.iterdir()] == ["precious"]


def test_hard_links_come_and_go(pair: tuple[Path, Path]) -> None:
    source, target = pair
    alike(*pair)
    (source / "etc/linked").unlink()
    (source / "etc/linked").write_text("one file, three names")
    os.link(source / "setuid", source / "setuid too")
    alike(*pair)
    (source / "setuid too").unlink()
    os.chmod(source / "linked", 0o600)
    alike(*pair)
    assert (target / "linked").stat().st_ino == (target / "dir/linked too").stat().st_ino


def test_owners_modes_and_marks_change_without_the_data(pair: tuple[Path, Path]) -> None:
    source, target = pair
    alike(*pair)
    before = inodes(target)[f"{target}/capable"][0]
    when = (source / "capable").stat().st_mtime_ns
    os.chown(source / "capable", 5, 6)
    subprocess.run(["setcap", "cap_net_admin+ep", source / "capable"], check=True)
    os.utime(source / "capable", ns=(when, when))
    subprocess.run(["setfacl", "-b", source / "dir/sub"], check=True)
    os.removexattr(source / "etc/motd", "user.note")
    (source / "dir/sub/later").mkdir(0o711)
    alike(*pair)
    assert inodes(target)[f"{target}/capable"][0] == before


def test_what_only_looks_alike_is_found_by_its_content(pair: tuple[Path, Path]) -> None:
    source, target = pair
    alike(*pair)
    status = (source / "dir/a").stat()
    (source / "dir/a").write_text("b")
    os.utime(source / "dir/a", ns=(status.st_atime_ns, status.st_mtime_ns))
    alike(*pair, content=True)
    assert (target / "dir/a").read_text() == "b"
