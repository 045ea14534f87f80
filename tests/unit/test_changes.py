"""Layers of images: whiteouts, in any order; and nothing that a layer holds is ever felt outside the root."""

import hashlib
import io
import os
import random
import shutil
import stat
from pathlib import Path

import pytest
from archives import Entry, entry, folder, hard, link, pack
from hypothesis import given, settings
from hypothesis import strategies as st

from treesmith.archive.changes import Allowance, apply
from treesmith.compare.walk import Entry as Found
from treesmith.compare.walk import walk
from treesmith.errors import Error

LARGE = 1 << 30


def put(root: Path, data: bytes, size: int = LARGE, entries: int = 10_000) -> int:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return apply(io.BytesIO(data), fd, Allowance(size, entries))
    finally:
        os.close(fd)


def paths(root: Path) -> list[str]:
    return sorted(str(one.relative_to(root)) for one in root.rglob("*"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What the layers below have, with a folder beside it that must stay as it is."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("untouched")
    return fresh(tmp_path / "root")


def fresh(root: Path) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    for path in ("etc", "usr/lib/deep", "var/log"):
        (root / path).mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    for path in ("etc/passwd", "etc/group", "usr/lib/old", "usr/lib/deep/er", "var/log/one"):
        (root / path).write_text("below")
    return root


# whiteouts


def test_a_whiteout_hides_what_is_below(root: Path) -> None:
    put(root, pack(entry("etc/.wh.passwd"), entry("usr/.wh.lib"), entry(".wh.lib"), entry("no/such/.wh.thing")))
    assert paths(root) == ["etc", "etc/group", "usr", "var", "var/log", "var/log/one"]


@pytest.mark.parametrize("late", [False, True])
def test_a_whiteout_never_hides_its_own_layer(root: Path, late: bool) -> None:
    own = [folder("usr/lib"), entry("usr/lib/new", data=b"1"), folder("usr/lib/deep"), entry("etc/passwd", data=b"2")]
    marks = [entry("usr/lib/.wh..wh..opq"), entry("etc/.wh.passwd"), entry("usr/.wh.lib")]
    put(root, pack(*(own + marks if late else marks + own)))
    assert (root / "etc/passwd").read_text() == "2"
    assert paths(root / "usr") == ["lib", "lib/deep", "lib/new"]


def test_an_opaque_mark_on_the_root_and_on_a_link(root: Path) -> None:
    put(root, pack(entry("lib/.wh..wh..opq")))
    assert (root / "usr/lib/old").exists()  # a link has no content
    put(root, pack(entry("new", data=b"1"), entry(".wh..wh..opq")))
    assert paths(root) == ["new"]


def test_a_whiteout_by_a_link_does_not_hide_its_own_layer(root: Path) -> None:
    put(root, pack(entry("usr/lib/new", data=b"1"), entry("lib/.wh.new"), entry("lib/.wh.old")))
    assert paths(root / "usr/lib") == ["deep", "deep/er", "new"]


def test_a_folder_that_only_its_entries_need_is_plain(root: Path) -> None:
    os.chmod(root / "usr/lib", 0o700)
    os.chown(root / "usr/lib", 5, 6)
    os.setxattr(root / "usr/lib", "user.was", b"1")
    put(root, pack(entry("usr/lib/deep/new", data=b"1"), entry("usr/.wh.lib")))
    status = (root / "usr/lib").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o755, 0, 0)
    assert os.listxattr(root / "usr/lib") == [] and paths(root / "usr") == ["lib", "lib/deep", "lib/deep/new"]


def test_what_aufs_left_is_passed_over(root: Path) -> None:
    before = paths(root)
    marks = [
        folder(".wh..wh.plnk"),
        entry(".wh..wh.plnk/1.2", data=b"x"),
        entry(".wh..wh.aufs"),
        entry("etc/.wh..wh.x"),
    ]
    assert put(root, pack(*marks)) == 0 and paths(root) == before


def test_entries_replace_what_is_below(root: Path) -> None:
    os.setxattr(root / "etc", "user.was", b"1")
    put(
        root,
        pack(
            folder("etc", mode=0o750, uid=3, pax_headers={"SCHILY.xattr.user.now": "2"}), folder("lib"),
            entry("lib/own", data=b"1"), entry("usr/lib", data=b"2"), folder("etc/passwd"), link("var/log", "/etc"),
            hard("etc/other", "etc/group"),
        ),
    )  # fmt: skip
    assert os.listxattr(root / "etc") == ["user.now"] and stat.S_IMODE((root / "etc").stat().st_mode) == 0o750
    assert not (root / "lib").is_symlink() and (root / "lib/own").exists()  # unlike tar: a folder replaces a link
    assert (root / "usr/lib").read_text() == "2" and (root / "etc/passwd").is_dir()
    assert os.readlink(root / "var/log") == "/etc" and (root / "etc/group").stat().st_nlink == 2


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
ENTRIES = st.lists(st.tuples(PATHS, st.sampled_from(["file", "folder", "link"])), max_size=6)
MARKS = st.lists(st.tuples(PATHS, st.booleans()), max_size=4)


def made(path: str, kind: str) -> Entry:
    if kind == "folder":
        return folder(path, mode=0o711, mtime=7)
    return entry(path, data=path.encode(), mtime=8) if kind == "file" else link(path, "nowhere")


def mark(path: str, opaque: bool) -> Entry:
    above, name = os.path.split(path)
    return entry(f"{path}/.wh..wh..opq" if opaque else f"{above}/.wh.{name}")


def found(root: Path) -> list[Found]:
    fd = os.open(root, os.O_RDONLY)
    try:
        return [one._replace(mtime=0) for one in walk(fd)]
    finally:
        os.close(fd)


@settings(max_examples=300, deadline=None)
@given(below=ENTRIES, own=ENTRIES, marks=MARKS, seed=st.integers(0, 1 << 30))
def test_whiteouts_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, below: list[tuple[str, str]], own: list[tuple[str, str]],
    marks: list[tuple[str, bool]], seed: int,
) -> None:  # fmt: skip
    """Marks anywhere among the entries do what marks before them do."""
    random.seed(seed)
    entries = [made(*one) for one in own]
    hidden = [mark(*one) for one in marks]
    mixed = list(entries)
    for one in hidden:
        mixed.insert(random.randint(0, len(mixed)), one)
    results = []
    for order in (hidden + entries, mixed):
        root = tmp_path_factory.getbasetemp() / "order"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for path, kind in below:
            try:
                put(root, pack(made(path, kind)))
            except Error:
                pass  # below a file
        try:
            put(root, pack(*order))
            results.append(found(root))
        except Error:
            results.append([])
    # A mark may take away a file that is in an entry's way: then only the first order works.
    assert results[0] == results[1] or not results[1]


def test_a_stream_is_read_to_its_end(root: Path) -> None:
    """What follows the archive is part of what the diffID says."""
    data = pack(entry("x", data=b"1")) + b"trailing"
    stream = io.BytesIO(data)
    fd = os.open(root, os.O_RDONLY)
    try:
        apply(stream, fd, Allowance(LARGE, 10))
    finally:
        os.close(fd)
    assert hashlib.sha256(data[: stream.tell()]).digest() == hashlib.sha256(data).digest()
