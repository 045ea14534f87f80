"""Layers of images: whiteouts, in any order; and nothing that a layer holds is ever felt outside the root."""

import hashlib
import io
import os
import random
import shutil
import stat
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from archives import Entry, entry, folder, hard, link, pack, state
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
        return [Found(**{**vars(one), "mtime": 0}) for one in walk(fd)]
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


# hostile layers

EVIL = b"evil"


def hostile(out: str) -> Iterator[tuple[str, Sequence[Entry] | bytes, str]]:
    """(what it tries, the layer, what is said of it, or "" if it is harmless inside)"""
    yield "traversal", [entry("../outside/file", data=EVIL)], "would leave"
    yield "traversal in the middle", [entry("a/../../outside/file", data=EVIL)], "would leave"
    yield "traversal that comes back", [entry("a/../etc/passwd", data=EVIL)], "would leave"
    yield "the folder above", [folder("..", mode=0o777)], "would leave"
    yield "an absolute path", [entry(f"{out}/file", data=EVIL)], ""
    yield "many slashes", [entry(f"///.//{out}/file", data=EVIL)], ""
    yield "a link out, and a file through it", [link("o", out), entry("o/file", data=EVIL)], "cannot be made"
    yield "a relative link out", [link("o", "../outside"), entry("o/file", data=EVIL)], "cannot be made"
    yield "a link far out", [link("o", "../" * 30 + out), entry("o/file", data=EVIL)], "cannot be made"
    yield "a link out, and a folder over it", [link("o", out), folder("o", mode=0o777), entry("o/x", data=EVIL)], ""
    yield "a link to a file outside, written over", [link("o", f"{out}/file"), entry("o", data=EVIL)], ""
    yield "a chain of links", [link("a", "b"), link("b", ".."), entry("a/outside/file", data=EVIL)], ""
    yield "links in a circle", [link("a", "b"), link("b", "a"), entry("a/file", data=EVIL)], "cannot be made"
    yield "proc's root", [link("p", f"/proc/self/root{out}"), entry("p/file", data=EVIL)], "cannot be made"
    yield (
        "a link changed midway",
        [folder("d"), entry("d/x"), entry(".wh.d"), link("d", out), entry("d/file")],
        "cannot",
    )
    yield "a hard link out", [hard("in", f"{out}/file"), entry("in", data=EVIL)], "cannot be made"
    yield "a hard link by traversal", [hard("in", "../outside/file")], "would leave"
    yield "a hard link through a link", [link("o", out), hard("in", "o/file")], "cannot be made"
    yield "a hard link to a link out", [link("o", f"{out}/file"), hard("in", "o"), entry("in", data=EVIL)], ""
    yield "a hard link to a folder", [hard("in", "etc")], "is a folder"
    yield "a hard link to itself", [hard("in", "in")], "cannot be made"
    yield "a hard link to nothing", [hard("in", "nothing")], "cannot be made"
    yield "a whiteout outside", [entry("../outside/.wh.file")], "would leave"
    yield "a whiteout by an absolute path", [entry(f"{out}/.wh.file")], ""
    yield "a whiteout through a link", [link("o", out), entry("o/.wh.file")], ""
    yield "a whiteout through a relative link", [link("o", "../outside"), entry("o/.wh.file")], ""
    yield "an opaque mark through a link", [link("o", out), entry("o/.wh..wh..opq")], ""
    yield "an opaque mark through links", [link("o", "../outside/.."), entry("o/outside/.wh..wh..opq")], ""
    yield "an opaque mark outside", [entry("../outside/.wh..wh..opq")], "would leave"
    yield "a whiteout of the folder above", [entry(".wh...")], "hides nothing"
    yield "a whiteout of the folder itself", [entry("etc/.wh..")], "hides nothing"
    yield "a whiteout of nothing", [entry(".wh.")], "hides nothing"
    yield "a whiteout of a whiteout", [entry(".wh..wh.passwd")], ""
    yield "a folder that is a whiteout", [folder(".wh.etc")], ""
    yield "below a whiteout", [folder(".wh.etc"), entry(".wh.etc/file", data=EVIL)], "below a whiteout"
    yield "a whiteout that is a link", [link(".wh.etc", out)], ""
    yield "a whiteout that is a hard link", [hard("etc/.wh.group", f"{out}/file")], ""
    yield "an overlay's whiteout", [entry("etc/passwd", tarfile.CHRTYPE, devmajor=0, devminor=0)], "device node"
    opaque = {f"SCHILY.xattr.{kind}.overlay.opaque": "y" for kind in ("user", "trusted")}
    yield "an overlay's opaque mark", [folder("etc", pax_headers=opaque)], ""
    redirect = {"SCHILY.xattr.user.overlay.redirect": out}
    yield "an overlay's redirect", [folder("etc", pax_headers=redirect)], ""
    yield "a disk", [entry("disk", tarfile.BLKTYPE, devmajor=8, devminor=0)], "device node"
    yield "memory", [entry("mem", tarfile.CHRTYPE, devmajor=1, devminor=1)], "device node"
    yield "memory by a link", [link("dev", "etc"), entry("dev/mem", tarfile.CHRTYPE, devmajor=1, devminor=1)], ""
    yield "a FIFO, written to", [entry("f", tarfile.FIFOTYPE), entry("f", data=EVIL)], ""
    yield "an unknown type", [entry("odd", b"Z", data=EVIL)], "unknown type"
    yield "the root as a file", [entry(".", data=EVIL)], "root itself"
    yield "the root as a link", [link("./", out)], "root itself"
    yield "the same file often", [entry("x", data=b"1"), entry("x", data=b"2"), entry("./x", data=b"3")], ""
    yield "a file over a folder", [entry("etc", data=EVIL)], ""
    yield "a file, and one below it", [entry("x", data=EVIL), entry("x/y", data=EVIL)], "cannot be made"
    yield "a long name", [entry("x" * 300, data=EVIL)], "cannot be made"
    yield "a long path", [entry("/".join(["d" * 200] * 30), data=EVIL)], "cannot be made"
    yield "a huge owner", [entry("x", uid=2**40)], "cannot be made|broken"
    yield "a negative owner", [entry("x", pax_headers={"uid": "-1"})], ""
    yield "no time", [entry("x", pax_headers={"mtime": "nan"})], "cannot be made|broken"
    yield "the end of time", [entry("x", mtime=1e300)], "cannot be made|broken"
    yield "a negative size", [entry("x", pax_headers={"size": "-512"})], "cannot be made|broken"
    yield "a size that is no number", [entry("x", pax_headers={"size": "much"})], ""
    yield "a path from pax", [entry("x", pax_headers={"path": "../outside/file"})], "would leave"
    yield "a link from pax", [entry("x", tarfile.LNKTYPE, pax_headers={"linkpath": f"{out}/file"})], "cannot be made"
    yield "a zero byte", [entry("x", pax_headers={"path": "etc\0/passwd"})], "would leave"
    yield "an odd xattr", [entry("x", pax_headers={"SCHILY.xattr.user.": "1"})], "cannot be made"
    yield "a huge xattr", [entry("x", pax_headers={"SCHILY.xattr.user.x": "1" * 70_000})], "cannot be made"
    yield "a huge header", [entry("x", pax_headers={"comment": "1" * (2 << 20)})], "to describe one member"
    yield "larger than it may be", [entry("x", data=bytes(2 << 20))], "unpacks to more"
    yield "more than there may be", [entry(f"x{number}") for number in range(200)], "more entries"
    yield "sparse without end", sparse(1 << 60), "unpacks to more"
    yield "no archive", os.urandom(4096), "not a tar archive"
    yield "cut off in a file", pack(entry("x", data=bytes(9000)))[:4096], "not a tar archive|instead of"
    yield "cut off in a header", pack(entry("x", data=EVIL))[:300], "not a tar archive"


def sparse(size: int) -> bytes:
    """GNU's sparse format 1.0: a file of `size` bytes that takes one block."""
    headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "x",
        "GNU.sparse.realsize": str(size),
    }
    map = f"1\n0\n1\n{size}\n".encode()
    return pack(entry("GNUSparseFile.0/x", data=map.ljust(512, b"\0"), pax_headers=headers))


@pytest.mark.parametrize("tries", [tries for tries, _, _ in hostile("/nowhere")])
def test_hostile_layers_are_not_felt_outside(root: Path, tries: str) -> None:
    outside = root.parent / "outside"
    layer, said = next((layer, said) for name, layer, said in hostile(str(outside)) if name == tries)
    before = state(outside)
    data = layer if isinstance(layer, bytes) else pack(*layer)
    if said:
        with pytest.raises(Error, match=said):
            put(root, data, size=1 << 20, entries=100)
    else:
        put(root, data, size=1 << 20, entries=100)
    assert state(outside) == before
    assert sorted(os.listdir(root.parent)) == ["outside", "root"]
    assert not [
        name for path in root.rglob("*") for name in os.listxattr(path, follow_symlinks=False) if "overlay" in name
    ]
    assert not [path for path in root.rglob("*") if path.is_block_device() or path.is_char_device()]


WORDS = st.sampled_from(["a", "b", "..", ".", "", ".wh.a", ".wh..wh..opq", ".wh...", "lib", "etc", "x" * 300])
ANY_PATH = st.lists(WORDS, min_size=1, max_size=4).map("/".join)
TYPES = st.sampled_from([b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"x", b"S", b"L", b"Z"])
HEADERS = st.dictionaries(
    st.sampled_from(
        ["path", "linkpath", "size", "mtime", "uid", "GNU.sparse.size", "GNU.sparse.map", "SCHILY.xattr.user.x"]
    ),
    st.sampled_from(["../outside/file", "-1", "0", "99999999999999999999", "nan", "\0", "etc/passwd", "0,1"]),
    max_size=2,
)


@settings(max_examples=500, deadline=None)
@given(
    members=st.lists(st.tuples(ANY_PATH, TYPES, ANY_PATH, HEADERS, st.binary(max_size=600)), max_size=6),
    holes=st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), max_size=3),
)
def test_any_layer_is_not_felt_outside(
    tmp_path_factory: pytest.TempPathFactory,
    members: list[tuple[str, bytes, str, dict[str, str], bytes]],
    holes: list[tuple[int, int]],
) -> None:
    ground = tmp_path_factory.getbasetemp() / "fuzz"
    (ground / "outside").mkdir(parents=True, exist_ok=True)
    (ground / "outside/file").write_text("untouched")
    before = state(ground / "outside")
    root = fresh(ground / "root")
    entries = [
        (name, {"type": type, "linkname": target, "mode": 0o4777, "pax_headers": headers}, data)
        for name, type, target, headers, data in members
    ]
    data = bytearray(pack(*entries))
    for at, byte in holes:
        data[at % len(data)] = byte
    for start in range(0, len(data) - 511, 512):  # with checksums that are right, so that the rest is looked at
        block = data[start : start + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            data[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    try:
        put(root, bytes(data), size=1 << 20, entries=100)
    except Error:
        pass
    assert state(ground / "outside") == before and sorted(os.listdir(ground)) == ["outside", "root"]


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
