"""Unpacking: what an archive may make in a root, and that nothing it holds is ever felt outside."""

import io
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archives import Entry, entry, folder, hard, link, pack, state
from hypothesis import given, settings
from hypothesis import strategies as st

from treesmith.archive.layer import Layer, Meta
from treesmith.archive.read import read
from treesmith.archive.unpack import unpack
from treesmith.errors import Error


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root, with a folder beside it that must stay as it is."""
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/usr/lib").mkdir(parents=True)
    (tmp_path / "root/lib").symlink_to("usr/lib")
    (tmp_path / "root/etc/passwd").write_text("root of the tree")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("untouched")
    return tmp_path / "root"


def put(root: Path, data: bytes, to: str = "/", strip: int = 0) -> int:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return unpack(io.BytesIO(data), fd, to, strip)
    finally:
        os.close(fd)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_what_belongs_in_a_root(root: Path, mode: str) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    headers = {"SCHILY.xattr.security.capability": capability.decode(), "SCHILY.xattr.user.x": "y"}
    headers |= {"SCHILY.xattr.user.overlay.opaque": "y", "SCHILY.xattr.trusted.overlay.opaque": "y"}
    count = put(
        root,
        pack(
            folder("./"),
            folder("./srv", mtime=5, mode=0o2750, uid=7, gid=8),
            entry("./srv/file", data=b"hello", mode=0o4711, uid=1, gid=2, pax_headers=headers),
            link("./srv/link", "/etc/passwd"),
            hard("./srv/hard", "./srv/file"),
            hard("./srv/hard link", "srv/link"),
            entry("./srv/fifo", tarfile.FIFOTYPE, mode=0o600, uid=3),
            entry("./dev/null", tarfile.CHRTYPE, devmajor=1, devminor=3),
            entry("deep/down/below", data=b"x" * 700_000 + bytes(700_000)),
            entry("srv/past", mtime=12.5),
            mode=mode,
        ),
    )
    assert count == 9
    srv, file = (root / "srv").stat(), (root / "srv/file").stat()
    assert (stat.S_IMODE(srv.st_mode), srv.st_uid, srv.st_gid, srv.st_mtime) == (0o2750, 7, 8, 5)
    assert (stat.S_IMODE(file.st_mode), file.st_uid, file.st_gid, file.st_mtime) == (0o4711, 1, 2, 1e9)
    assert os.getxattr(root / "srv/file", "security.capability") == capability
    assert set(os.listxattr(root / "srv/file")) == {"security.capability", "user.x"}
    assert (root / "srv/hard").stat().st_ino == file.st_ino and file.st_nlink == 2
    assert os.readlink(root / "srv/link") == os.readlink(root / "srv/hard link") == "/etc/passwd"
    assert (root / "srv/fifo").is_fifo() and (root / "srv/fifo").stat().st_uid == 3
    below = (root / "deep/down/below").stat()
    assert below.st_size == 1_400_000 and below.st_blocks * 512 < 1_000_000  # zeros are holes
    assert (root / "srv/past").stat().st_mtime_ns == 12_500_000_000
    assert not (root / "dev/null").exists()


def test_strip_and_a_folder_to_go_into(root: Path) -> None:
    data = pack(
        folder("app-1.0"), entry("app-1.0/bin/x", data=b"x"), hard("app-1.0/y", "app-1.0/bin/x"), entry("README")
    )
    assert put(root, data, "/opt/app/", 1) == 2
    assert (root / "opt/app/y").read_text() == "x" and sorted(os.listdir(root / "opt/app")) == ["bin", "y"]


def test_folders_stay_and_all_else_is_replaced(root: Path) -> None:
    (root / "etc/deep/er").mkdir(parents=True)
    (root / "was-file").write_text("x")
    data = pack(
        folder("etc", mode=0o700), folder("lib", mode=0o750), entry("lib/new", data=b"1"), entry("etc/deep", data=b"2"),
        folder("was-file"), entry("etc/passwd", data=b"3"),
    )  # fmt: skip
    put(root, data)
    assert os.readlink(root / "lib") == "usr/lib" and (root / "usr/lib/new").read_text() == "1"
    assert stat.S_IMODE((root / "etc").stat().st_mode) == 0o700
    assert (root / "etc/deep").read_text() == "2" and (root / "was-file").is_dir()
    assert (root / "etc/passwd").read_text() == "3"


def test_a_file_with_two_names_is_not_written_through(root: Path) -> None:
    os.link(root / "etc/passwd", root / "etc/other")
    put(root, pack(entry("etc/passwd", data=b"new")))
    assert (root / "etc/other").read_text() == "root of the tree"


def hostile(outside: str) -> Iterator[tuple[list[Entry], str]]:
    """Archives that mean harm, and what is said of them; "" if they are harmless inside."""
    evil = b"evil"
    yield [entry("../outside/file", data=evil)], "would leave"
    yield [entry("a/../../outside/file", data=evil)], "would leave"
    yield [entry("..", tarfile.DIRTYPE)], "would leave"
    yield [entry("etc/..", data=evil)], "would leave"
    yield [entry(f"{outside}/file", data=evil)], ""
    yield [entry(f"/..{outside}/file", data=evil)], "would leave"
    yield [link("out", outside), entry("out/file", data=evil)], "cannot be made"
    yield [link("out", "../outside"), entry("out/file", data=evil)], "cannot be made"
    yield (
        [link("out", "../../../../../.." + outside), folder("out/new"), entry("out/file", data=evil)],
        "cannot be made",
    )
    yield [link("out", outside), folder("out", mode=0o777)], ""
    yield [link("out", f"{outside}/file"), entry("out", data=evil)], ""
    yield [link("out", f"{outside}/file"), hard("in", "out"), entry("in", data=evil)], ""
    yield [link("a", "b"), link("b", ".."), link("c", "a/outside"), entry("c/file", data=evil)], "cannot be made"
    yield [link("a", "a"), entry("a/file", data=evil)], "cannot be made"
    yield [link("p", f"/proc/self/root{outside}"), entry("p/file", data=evil)], "cannot be made"
    yield [hard("in", "../outside/file")], "would leave"
    yield [hard("in", f"{outside}/file"), entry("in", data=evil)], "cannot be made"
    yield [link("out", outside), hard("in", "out/file"), entry("in", data=evil)], "cannot be made"
    yield [hard("in", "etc")], "is a folder"
    yield [hard("in", "nothing")], "cannot be made"
    yield [entry("disk", tarfile.BLKTYPE, devmajor=8, devminor=0)], "is a device node"
    yield [entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3)], "is a device node"
    yield [entry("etc/passwd", tarfile.CHRTYPE, devmajor=0, devminor=0)], "is a device node"  # an overlay's whiteout
    yield [link("dev", "etc"), entry("dev/mem", tarfile.CHRTYPE, devmajor=1, devminor=1)], ""
    yield [entry(".", data=evil)], "root itself"
    yield [link("/", "/etc")], "root itself"
    yield [entry("x" * 300, data=evil)], "cannot be made"
    yield [entry("/".join(["d" * 200] * 30), data=evil)], "cannot be made"
    yield [entry("odd", b"Z", data=evil)], "of the unknown type"
    yield [entry("fifo", tarfile.FIFOTYPE), entry("fifo", data=evil)], ""
    yield [entry("file", data=evil), entry("file/below", data=evil)], "cannot be made"
    yield [entry("ids", data=evil, uid=2**40)], "cannot be made|broken"
    yield [entry("time", data=evil, mtime=1e300)], "cannot be made|broken"
    yield [entry("time", data=evil, pax_headers={"mtime": "nan"})], "cannot be made|broken"


def test_hostile_archives_are_not_felt_outside(root: Path) -> None:
    outside = root.parent / "outside"
    before = state(outside)
    for number, (entries, said) in enumerate(hostile(str(outside))):
        shutil.rmtree(root)
        (root / "etc").mkdir(parents=True)
        (root / "etc/passwd").write_text("root of the tree")
        if said:
            with pytest.raises(Error, match=said):
                put(root, pack(*entries))
        else:
            put(root, pack(*entries))
        assert state(outside) == before, f"case {number}"
        assert sorted(os.listdir(root.parent)) == ["outside", "root"], f"case {number}"


def test_a_link_out_leads_into_the_root(root: Path) -> None:
    put(
        root,
        pack(
            link("out", "/etc"), entry("out/passwd", data=b"new"), link("up", "../../.."), entry("up/made", data=b"1")
        ),
    )
    assert (root / "etc/passwd").read_text() == "new" and (root / "made").read_text() == "1"


@pytest.mark.parametrize("name", ["w", "w:gz", "w:bz2", "w:xz"])
def test_cut_off_archives(root: Path, name: str) -> None:
    data = pack(*(entry(f"file{number}", data=os.urandom(700)) for number in range(4)), mode=name)
    end = len(data) if name != "w" else data.rindex(b"file3") + 512 + 1024 + 512
    for length in range(0, end - 511, 97):
        with pytest.raises(Error, match=r"tar archive|cannot be read"):
            put(root, data[:length])


def test_a_broken_header_in_the_middle(root: Path) -> None:
    data = bytearray(pack(entry("a", data=b"1"), entry("b", data=b"2")))
    data[1024 + 150] ^= 0xFF  # in the second header's checksum
    with pytest.raises(Error, match="not a tar archive, or a broken one"):
        put(root, bytes(data))


GOOD = pack(folder("d"), entry("d/f", data=b"data"), link("l", "d/f"), hard("h", "d/f"), entry("p", tarfile.FIFOTYPE))


def complains_or_not(path: Path, data: bytes) -> None:
    (path / "root").mkdir(exist_ok=True)
    before = sorted(os.listdir(path))
    try:
        put(path / "root", data)
    except Error:
        pass
    assert sorted(os.listdir(path)) == before


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=1500))
def test_garbage(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    complains_or_not(tmp_path_factory.getbasetemp(), data)


@settings(max_examples=300, deadline=None)
@given(holes=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4))
def test_spoilt_archives(tmp_path_factory: pytest.TempPathFactory, holes: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for at, byte in holes:
        data[at] = byte
    for start in range(0, len(data) - 512, 512):  # with checksums that are right, so that the rest is looked at
        block = data[start : start + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            data[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    complains_or_not(tmp_path_factory.getbasetemp(), bytes(data))


def test_removing_follows_no_link(root: Path) -> None:
    outside = root.parent / "outside"
    (root / "gone/deep").mkdir(parents=True)
    (root / "gone/deep/link").symlink_to(outside)
    (root / "gone/out").symlink_to(outside)
    fd = os.open(root, os.O_RDONLY)
    try:
        with Layer(fd) as layer:
            for path in ("gone", "/lib", "not/there", "etc/passwd/x"):
                layer.remove(path)
            refused: list[Callable[[], None]] = [
                lambda: layer.remove("../outside"),
                lambda: layer.folder("a/../b", Meta()),
                lambda: layer.remove("/"),
            ]
            for refusal in refused:
                with pytest.raises(Error):
                    refusal()
    finally:
        os.close(fd)
    assert (outside / "file").exists() and (root / "usr/lib").is_dir()
    assert sorted(os.listdir(root)) == ["etc", "usr"]


def test_reading(root: Path) -> None:
    outside = root.parent / "outside"
    (root / "out").symlink_to(outside)
    (root / "abs").symlink_to("/etc/passwd")
    os.mkfifo(root / "fifo")
    fd = os.open(root, os.O_RDONLY)
    try:
        assert read(fd, "/abs") == b"root of the tree"
        for path in ("out/file", "fifo", "etc", "nothing", "../outside/file"):
            assert read(fd, path) == b""
    finally:
        os.close(fd)
