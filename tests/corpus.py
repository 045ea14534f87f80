"""Layers and images that mean harm, by name, and what becomes of each."""

import gzip
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from archives import Entry, entry, folder, hard, link, pack
from layouts import CONFIG, INDEX, Document, Written, digest

EVIL = b"evil"
ZERO = "sha256:" + "0" * 64
# What the layers below have.
BELOW = pack(
    folder("etc"), entry("etc/passwd", data=b"below"), entry("etc/group", data=b"below"), folder("usr"),
    folder("usr/lib"), entry("usr/lib/old", data=b"below"), link("lib", "usr/lib"), folder("dev"),
)  # fmt: skip


class Case(NamedTuple):
    """said: what is said of it, a pattern; "": it is laid down as umoci does it, but for what is `unlike`."""

    layer: Sequence[Entry] | bytes
    said: str = ""
    unlike: Sequence[str] = ()


def layers(out: str) -> Iterator[tuple[str, Case]]:
    """`out`: a folder outside, with a file `file`."""
    yield "traversal", Case([entry("../outside/file", data=EVIL)], "would leave")
    yield "traversal in the middle", Case([entry("a/../../outside/file", data=EVIL)], "would leave")
    yield "traversal that comes back", Case([entry("a/../etc/passwd", data=EVIL)], "would leave")
    yield "traversal behind an absolute path", Case([entry(f"/..{out}/file", data=EVIL)], "would leave")
    yield "the folder above", Case([folder("..", mode=0o777)], "would leave")
    yield "an absolute path", Case([entry(f"{out}/file", data=EVIL)])
    yield "many slashes", Case([entry(f"///.//{out}/file", data=EVIL)])
    yield "a link out, and a file through it", Case([link("o", out), entry("o/file", data=EVIL)], "cannot be made")
    yield "a relative link out", Case([link("o", "../outside"), entry("o/file", data=EVIL)], "cannot be made")
    yield "a link far out", Case([link("o", "../" * 30 + out), entry("o/file", data=EVIL)], "cannot be made")
    yield (
        "a link out, and a folder over it",
        Case([link("o", out), folder("o", mode=0o777), entry("o/x", data=EVIL)]),
    )
    yield "a link to a file outside, written over", Case([link("o", f"{out}/file"), entry("o", data=EVIL)])
    yield "a chain of links", Case([link("a", "b"), link("b", ".."), entry("a/outside/file", data=EVIL)])
    yield "links in a circle", Case([link("a", "b"), link("b", "a"), entry("a/file", data=EVIL)], "cannot be made")
    yield (
        "proc's root",
        Case([link("p", f"/proc/self/root{out}"), entry("p/file", data=EVIL)], "cannot be made"),
    )
    yield (
        "a link changed midway",
        Case([folder("d"), entry("d/x"), entry(".wh.d"), link("d", out), entry("d/file")], "cannot be made"),
    )
    yield "a hard link out", Case([hard("in", f"{out}/file"), entry("in", data=EVIL)], "cannot be made")
    yield "a hard link by traversal", Case([hard("in", "../outside/file")], "would leave")
    yield "a hard link through a link", Case([link("o", out), hard("in", "o/file")], "cannot be made")
    yield (
        "a hard link to a link out",
        Case([link("o", f"{out}/file"), hard("in", "o"), entry("in", data=EVIL)]),
    )
    yield "a hard link to a folder", Case([hard("in", "etc")], "is a folder")
    yield "a hard link to itself", Case([hard("in", "in")], "cannot be made")
    yield "a hard link to nothing", Case([hard("in", "nothing")], "cannot be made")
    yield "a whiteout outside", Case([entry("../outside/.wh.file")], "would leave")
    yield "a whiteout by an absolute path", Case([entry(f"{out}/.wh.file")])
    yield "a whiteout through a link", Case([link("o", out), entry("o/.wh.file")])
    yield "a whiteout through a relative link", Case([link("o", "../outside"), entry("o/.wh.file")])
    yield "an opaque mark through a link", Case([link("o", out), entry("o/.wh..wh..opq")])
    yield "an opaque mark through links", Case([link("o", "../outside/.."), entry("o/outside/.wh..wh..opq")])
    yield "an opaque mark outside", Case([entry("../outside/.wh..wh..opq")], "would leave")
    yield "an opaque mark on a file", Case([entry("etc/passwd/.wh..wh..opq")])
    yield "a whiteout of the folder above", Case([entry(".wh...")], "hides nothing")
    yield "a whiteout of the folder itself", Case([entry("etc/.wh..")], "hides nothing")
    yield "a whiteout of nothing", Case([entry(".wh.")], "hides nothing")
    yield "a whiteout of a whiteout", Case([entry(".wh..wh.passwd")])
    yield "a whiteout of what is not there", Case([entry("no/such/.wh.thing")])
    yield "a whiteout of a folder", Case([entry("usr/.wh.lib"), entry(".wh.lib")])
    yield "a whiteout, and the same new", Case([entry(".wh.etc"), folder("etc"), entry("etc/new", data=EVIL)])
    yield "a whiteout that comes too late", Case([entry("etc/passwd", data=EVIL), entry("etc/.wh.passwd")])
    yield "an opaque mark", Case([folder("etc"), entry("etc/.wh..wh..opq"), entry("etc/new", data=EVIL)])
    yield "an opaque mark on everything", Case([entry(".wh..wh..opq"), entry("new", data=EVIL)])
    yield "a folder that is a whiteout", Case([folder(".wh.etc")])
    yield "below a whiteout", Case([folder(".wh.etc"), entry(".wh.etc/file", data=EVIL)], "below a whiteout")
    yield "a whiteout that is a link", Case([link(".wh.etc", out)])
    yield "a whiteout that is a hard link", Case([hard("etc/.wh.group", f"{out}/file")])
    yield (
        "an overlay's whiteout",
        Case([entry("etc/passwd", tarfile.CHRTYPE, devmajor=0, devminor=0)], "device node"),
    )
    opaque = {f"SCHILY.xattr.{kind}.overlay.opaque": "y" for kind in ("user", "trusted")}
    yield (
        "an overlay's opaque mark",
        Case([folder("etc", pax_headers=opaque)], unlike=["etc: xattrs: {'user.overlay.opaque': b'y'} -> {}"]),
    )
    redirect = {f"SCHILY.xattr.{kind}.overlay.redirect": out for kind in ("user", "trusted")}
    kept = [f"etc: xattrs: {{'user.overlay.redirect': {out.encode()!r}}} -> {{}}"]
    yield "an overlay's redirect", Case([folder("etc", pax_headers=redirect)], unlike=kept)
    yield "a disk", Case([entry("disk", tarfile.BLKTYPE, devmajor=8, devminor=0)], "device node")
    yield "memory", Case([entry("mem", tarfile.CHRTYPE, devmajor=1, devminor=1)], "device node")
    memory = entry("dev/mem", tarfile.CHRTYPE, devmajor=1, devminor=1)
    yield "memory in /dev", Case([memory], unlike=["dev/mem: removed: 'character device' -> ''"])
    yield (
        "memory by a link",
        Case([link("dev", "etc"), memory], unlike=["etc/mem: removed: 'character device' -> ''"]),
    )
    yield "a FIFO, written to", Case([entry("f", tarfile.FIFOTYPE), entry("f", data=EVIL)])
    yield "an unknown type", Case([entry("odd", b"Z", data=EVIL)], "unknown type")
    yield "the root as a file", Case([entry(".", data=EVIL)], "root itself")
    yield "the root as a link", Case([link("./", out)], "root itself")
    yield (
        "the same file often",
        Case([entry("x", data=b"1"), entry("x", data=b"2"), entry("./x", data=b"3")]),
    )
    yield "a file over a folder", Case([entry("etc", data=EVIL)])
    yield "a folder over a link", Case([folder("lib"), entry("lib/own", data=EVIL)])
    yield "a file through a link of the layer below", Case([entry("lib/own", data=EVIL)])
    yield "a file, and one below it", Case([entry("x", data=EVIL), entry("x/y", data=EVIL)], "cannot be made")
    yield "a long name", Case([entry("x" * 300, data=EVIL)], "cannot be made")
    yield "a long path", Case([entry("/".join(["d" * 200] * 30), data=EVIL)], "cannot be made")
    yield "a huge owner", Case([entry("x", uid=2**40)], "cannot be made|broken")
    yield "a negative owner", Case([entry("x", pax_headers={"uid": "-1"})])
    yield "no time", Case([entry("x", pax_headers={"mtime": "nan"})], "cannot be made|broken")
    yield "the end of time", Case([entry("x", mtime=1e300)], "cannot be made|broken")
    yield "a negative size", Case([entry("x", pax_headers={"size": "-512"})], "cannot be made|broken")
    yield "a size that is no number", Case([entry("x", pax_headers={"size": "much"})], "is no number")
    yield "a path from pax", Case([entry("x", pax_headers={"path": "../outside/file"})], "would leave")
    yield (
        "a link from pax",
        Case([entry("x", tarfile.LNKTYPE, pax_headers={"linkpath": f"{out}/file"})], "cannot be made"),
    )
    yield "a zero byte", Case([entry("x", pax_headers={"path": "etc\0/passwd"})], "would leave")
    yield "an odd xattr", Case([entry("x", pax_headers={"SCHILY.xattr.user.": "1"})], "cannot be made")
    yield (
        "a huge xattr",
        Case([entry("x", pax_headers={"SCHILY.xattr.user.x": "1" * 70_000})], "cannot be made"),
    )
    capable = {"SCHILY.xattr.security.selinux": "unconfined", "SCHILY.xattr.trusted.x": "1"}
    yield (
        "xattrs of the host's",
        Case([entry("x", data=EVIL, pax_headers=capable)], unlike=["x: xattrs: {'trusted.x': b'1'} -> {}"]),
    )
    yield (
        "a huge header",
        Case([entry("x", pax_headers={"comment": "1" * (2 << 20)})], "to describe one member"),
    )
    yield "a bomb that says how large it is", Case(sparse(1 << 60), "unpacks to more")
    yield "a bomb of headers", Case(pack(*(entry(f"x{number}") for number in range(1200))), "more entries")
    yield "no archive", Case(b"\1" * 4096, "not a tar archive")
    yield "cut off in a file", Case(pack(entry("x", data=bytes(9000)))[:4096], "not a tar archive|instead of")
    yield "cut off in a header", Case(pack(entry("x", data=EVIL))[:300], "not a tar archive")


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


def tar_of(layer: Sequence[Entry] | bytes) -> bytes:
    return layer if isinstance(layer, bytes) else pack(*layer)


LAYER = pack(entry("new", data=EVIL * 3000))


def images() -> dict[str, tuple[Callable[[Written], None], str]]:
    """name -> (what writes it, what is said of it)"""
    zstd = subprocess.run(["zstd", "-c"], input=LAYER, capture_output=True, check=True).stdout
    packed = gzip.compress(LAYER, mtime=0)
    spoilt = bytearray(packed)
    spoilt[len(packed) // 2] ^= 0xFF

    def one(written: Written, blob: bytes = LAYER, said: bytes = LAYER, **changed: object) -> Document:
        """An image whose upper layer is what its descriptor and the configuration say, but for what is changed."""
        layer = {**written.blob(blob), **changed}
        return written.image(written.blob(BELOW), layer, diffs=[digest(BELOW), digest(said)])

    def of(blob: bytes) -> Callable[[Written], None]:
        return lambda written: written.index(one(written, blob))

    def with_layer(**changed: object) -> Callable[[Written], None]:
        return lambda written: written.index(one(written, **changed))  # type: ignore[arg-type]

    def blob(how: Callable[[Path], object]) -> Callable[[Written], None]:
        def write(written: Written) -> None:
            written.index(one(written))
            how(written.path(digest(LAYER)))

        return write

    def diffs(*found: object) -> Callable[[Written], None]:
        def write(written: Written) -> None:
            written.index(written.image(written.blob(BELOW), written.blob(LAYER), diffs=list(found)))

        return write

    def listed(**changed: object) -> Callable[[Written], None]:
        return lambda written: written.index({**one(written), **changed})

    def document(path: str) -> Callable[[Written], None]:
        """A manifest that is not JSON's."""
        return lambda written: written.index(written.blob(path.encode()))

    def nested(written: Written) -> None:
        """An index of an index of an index."""
        inner = one(written)
        for _ in range(9):
            here = {**inner, "platform": {"os": "linux", "architecture": "amd64"}}
            inner = written.json({"mediaType": INDEX, "manifests": [here]}, INDEX)
        written.index(inner)

    def foreign(written: Written) -> None:
        config = {"architecture": "s390x", "os": "linux", "rootfs": {"diff_ids": [digest(LAYER)]}}
        written.index(written.manifest(written.json(config, CONFIG), written.blob(LAYER)))

    def other(path: Path, target: str) -> None:
        path.unlink()
        path.symlink_to(target)

    def fifo(path: Path) -> None:
        path.unlink()
        os.mkfifo(path)

    def folder(path: Path) -> None:
        path.unlink()
        path.mkdir()

    return {
        "a layer with another byte": (blob(lambda path: path.write_bytes(b"X" + LAYER[1:])), "not what it should be"),
        "a layer that is longer": (blob(lambda path: path.write_bytes(LAYER + b"X")), "is damaged"),
        "a layer that is cut off": (blob(lambda path: path.write_bytes(LAYER[:-1])), "is damaged"),
        "a layer that is empty": (blob(lambda path: path.write_bytes(b"")), "is damaged"),
        "a layer that is gone": (blob(Path.unlink), "lacks the blob"),
        "a layer that is a FIFO": (blob(fifo), "lacks the blob"),
        "a layer that is a folder": (blob(folder), "lacks the blob"),
        "a layer that never ends": (blob(lambda path: other(path, "/dev/zero")), "lacks the blob"),
        "a layer that is a file of the host's": (blob(lambda path: other(path, "/etc/passwd")), "is damaged"),
        "a descriptor of another size": (with_layer(size=1), "is damaged"),
        "a descriptor of no size": (with_layer(size=-1), "is broken"),
        "a descriptor of a huge size": (with_layer(size=1 << 62), "is damaged"),
        "a digest of nothing": (with_layer(digest=ZERO), "lacks the blob"),
        "a digest by traversal": (with_layer(digest="sha256:../../../etc/passwd"), "is no digest"),
        "a digest that proves nothing": (with_layer(digest="md5:" + "0" * 32), "is no digest"),
        "a layer that is no tar": (with_layer(mediaType="application/zip"), "not tar"),
        "an index that is a FIFO": (lambda written: os.mkfifo(written.folder / "index.json"), "no OCI layout"),
        "another diffID": (diffs(digest(BELOW), ZERO), "does not hold what the image's configuration says"),
        "a diffID too few": (diffs(digest(BELOW)), "has 2 layers, its configuration 1"),
        "a diffID too many": (diffs(digest(BELOW), digest(LAYER), ZERO), "has 2 layers, its configuration 3"),
        "diffIDs the wrong way round": (diffs(digest(LAYER), digest(BELOW)), "does not hold what"),
        "a diffID that is none": (diffs(digest(BELOW), "../../etc"), "is no digest"),
        "a diffID that is a number": (diffs(1, 2), "names no layers"),
        "gzip, cut off": (of(packed[:-9]), "cut off"),
        "gzip, spoilt": (of(bytes(spoilt)), "is broken|does not hold"),
        "gzip of another layer": (of(gzip.compress(BELOW)), "does not hold"),
        "gzip, and rubbish behind it": (of(packed + b"rubbish"), "is broken"),
        "gzip of gzip": (of(gzip.compress(packed)), "not a tar archive"),
        "zstd, cut off": (of(zstd[:-9]), "cut off|broken"),
        "zstd, and rubbish behind it": (of(zstd + b"rubbish"), "cut off|broken"),
        "zstd that wants 2 GiB of memory": (of(bytes.fromhex("28b52ffd00a8") + zstd[6:]), "broken"),
        "a manifest that is not the one": (listed(digest=digest(BELOW), size=len(BELOW)), "is broken"),
        "a manifest of another size": (listed(size=7), "is damaged"),
        "a manifest larger than any": (lambda written: written.index(written.blob(bytes(5 << 20))), "too large"),
        "a manifest that is no JSON": (document("{"), "is broken"),
        "a manifest that is a list": (document("[]"), "is broken"),
        "a manifest of brackets": (document("[" * 200_000), "is broken"),
        "a manifest without a configuration": (document("{}"), "is broken"),
        "indexes without end": (nested, "indexes within indexes"),
        "an image for another machine": (foreign, "is for linux/s390x"),
        "an index of nothing": (lambda written: written.index(), "has no image"),
        "an index that is no JSON": (lambda written: _write(written, b"{"), "is broken"),
        "an index that names numbers": (lambda written: _write(written, b'{"manifests": [1]}'), "no list of objects"),
        "an index of half a descriptor": (
            lambda written: _write(written, json.dumps({"manifests": [{"digest": ZERO}]}).encode()),
            "is broken",
        ),
    }


def _write(written: Written, index: bytes) -> None:
    (written.folder / "index.json").write_bytes(index)
