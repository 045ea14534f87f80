"""Any bytes for a layer: it is laid down or it is an Error, it ends, and nothing outside the root is ever touched."""

import gzip
import io
import os
import shutil
import stat
import tarfile
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from archives import state
from hypothesis import given, settings
from hypothesis import strategies as st

from treesmith.archive.blob import Stream
from treesmith.archive.changes import Allowance, apply
from treesmith.errors import Error
from treesmith.linux.file import open_inside

LARGEST = 1 << 20
Holes = list[tuple[int, int]]

WORDS = st.sampled_from([
    "a", "b", "..", ".", "", ".wh.a", ".wh..wh..opq", ".wh...", ".wh..wh.plnk", "lib", "etc", "x" * 90, "x" * 300,
    "é\udcff",
])  # fmt: skip
PATHS = st.lists(WORDS, min_size=1, max_size=4).map("/".join)
TARGETS = st.one_of(PATHS, st.sampled_from(["../outside", "../outside/file", "/proc/self/root", "etc/passwd"]))
TYPES = st.sampled_from([bytes([code]) for code in b"01234567xgXSLKDVZ\0"])
HEADERS = st.dictionaries(
    st.sampled_from([
        "path", "linkpath", "size", "mtime", "uid", "gid", "hdrcharset", "GNU.sparse.major", "GNU.sparse.minor",
        "GNU.sparse.name", "GNU.sparse.realsize", "GNU.sparse.size", "GNU.sparse.numblocks", "GNU.sparse.map",
        "SCHILY.xattr.user.x", "SCHILY.xattr.user.overlay.opaque", "SCHILY.xattr.system.posix_acl_access",
    ]),
    st.sampled_from(["../outside/file", "-1", "0", "1", "512", "9" * 20, "nan", "\0", "etc/passwd", "0,1", "0,1,512,9",
                     "y"]),
    max_size=3,
)  # fmt: skip
MEMBERS = st.lists(st.tuples(PATHS, TYPES, TARGETS, HEADERS, st.binary(max_size=600)), max_size=6)
HOLES = st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 255)), max_size=4)
FORMATS = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


def packed(members: list[tuple[str, bytes, str, dict[str, str], bytes]], format: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, errors="surrogateescape") as tar:
        for name, type, target, headers, data in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode, member.size = type, target, 0o4777, len(data)
            member.pax_headers = headers
            try:
                tar.addfile(member, io.BytesIO(data))
            except ValueError:
                pass  # a name that this format cannot hold
    return buffer.getvalue()


def spoilt(data: bytes, holes: Holes) -> bytes:
    """Other bytes here and there."""
    changed = bytearray(data)
    for at, byte in holes:
        changed[at % len(data)] = byte
    return bytes(changed)


def summed(data: bytes) -> bytes:
    """With checksums that are right, so that the rest is looked at."""
    changed = bytearray(data)
    for start in range(0, len(data) - 511, 512):
        block = changed[start : start + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            changed[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    return bytes(changed)


class Ground:
    """A root with something in it, decoys beside it, and what they were like."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "outside").mkdir(parents=True)
        (folder / "outside/file").write_text("untouched")
        self._before = state(folder / "outside")

    def lay_down(self, blob: bytes) -> None:
        """As a layer of an image. Whatever it is, it is felt inside alone."""
        root = self.folder / "root"
        shutil.rmtree(root, ignore_errors=True)
        (root / "etc").mkdir(parents=True)
        (root / "etc/passwd").write_text("below")
        (root / "lib").symlink_to("../outside")
        (self.folder / "blob").write_bytes(blob)
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with open(self.folder / "blob", "rb") as file, Stream(file, "sha256:" + "0" * 64, 4 * LARGEST) as stream:
                apply(stream, fd, Allowance(LARGEST, 100))
        except Error:
            pass
        finally:
            os.close(fd)
        assert state(self.folder / "outside") == self._before
        assert sorted(os.listdir(self.folder)) == ["blob", "outside", "root"]
        for path in (Path(above, name) for above, *names in os.walk(root) for name in chain(*names)):
            assert stat.S_IFMT(path.lstat().st_mode) not in (stat.S_IFBLK, stat.S_IFCHR)
            assert not [name for name in os.listxattr(path, follow_symlinks=False) if ".overlay." in name]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("fuzz"))


@settings(max_examples=400, deadline=None)
@given(members=MEMBERS, format=FORMATS, holes=HOLES)
def test_any_archive(ground: Ground, members: Any, format: int, holes: Holes) -> None:
    ground.lay_down(summed(spoilt(packed(members, format), holes)))


def zstd(data: bytes) -> bytes:
    """A frame of raw blocks, which is a right one: RFC 8878, 3.1.1."""
    blocks = [data[start : start + 60_000] for start in range(0, len(data), 60_000)]
    frame = b"".join((len(block) << 3).to_bytes(3, "little") + block for block in blocks)
    return bytes.fromhex("28b52ffd0058") + frame + b"\1\0\0"


@settings(max_examples=200, deadline=None)
@given(
    members=MEMBERS, pack=st.sampled_from([gzip.compress, zstd]), holes=HOLES, cut=st.integers(0, 9000),
    twice=st.booleans(), behind=st.binary(max_size=9),
)  # fmt: skip
def test_any_compressed_blob(
    ground: Ground, members: Any, pack: Callable[[bytes], bytes], holes: Holes, cut: int, twice: bool, behind: bytes
) -> None:
    whole = pack(packed(members, tarfile.PAX_FORMAT))
    ground.lay_down(spoilt(whole * (1 + twice) + behind, holes)[: cut or None])


@settings(max_examples=200, deadline=None)
@given(
    start=st.sampled_from([b"", b"\x1f\x8b\x08", bytes.fromhex("28b52ffd"), b"x" * 257 + b"ustar\00000"]),
    data=st.binary(max_size=1500),
)
def test_any_bytes(ground: Ground, start: bytes, data: bytes) -> None:
    ground.lay_down(start + data)


def old_sparse(name: bytes, segments: list[tuple[int, int]], size: int, more: bool) -> bytes:
    """GNU's old format: what is not zeros is listed in the header itself. more: in blocks behind it too."""
    header = bytearray(512)
    header[: len(name)] = name
    header[100:108], header[124:136], header[156:157] = b"0000644\0", b"%011o\0" % 512, b"S"
    header[257:265] = b"ustar  \0"
    for number, (offset, length) in enumerate(segments[:4]):
        header[386 + 24 * number : 410 + 24 * number] = b"%011o\0%011o\0" % (offset, length)
    header[482:483], header[483:495] = (b"\1" if more else b"\0"), b"%011o\0" % size
    return summed(bytes(header)) + bytes(512) * more + b"d" * 512 + bytes(1024)


@settings(max_examples=150, deadline=None)
@given(
    segments=st.lists(st.tuples(st.integers(0, 8**11 - 1), st.integers(0, 8**11 - 1)), max_size=5),
    size=st.integers(0, 8**11 - 1), more=st.booleans(), name=st.sampled_from([b"s", b"lib/file", b"../outside/file"]),
    holes=HOLES,
)  # fmt: skip
def test_any_sparse_file(
    ground: Ground, segments: list[tuple[int, int]], size: int, more: bool, name: bytes, holes: Holes
) -> None:
    ground.lay_down(summed(spoilt(old_sparse(name, segments, size, more), holes)))


def test_a_sparse_file_is_laid_down(ground: Ground) -> None:
    """That the ones above can be."""
    ground.lay_down(old_sparse(b"s", [(4096, 512)], 8192, False))
    root = os.open(ground.folder / "root", os.O_RDONLY)
    fd = open_inside(root, "s", os.O_RDONLY)
    os.close(root)
    with open(fd, "rb") as file:
        assert file.read() == bytes(4096) + b"d" * 512 + bytes(3584)
