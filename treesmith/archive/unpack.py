"""A tar archive into a root. tarfile only parses here: its extraction filters mask setuid and refuse what roots hold.

Names are taken relative to the root; one with ".." in it is refused, and so is anything but files, folders, links and
FIFOs. Device nodes in /dev are passed over, as a container has a /dev of its own: elsewhere they are refused.
"""

import lzma
import tarfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Self, cast

from treesmith.archive.layer import Layer, Meta
from treesmith.errors import Error

_BROKEN = (tarfile.TarError, EOFError, ValueError, zlib.error, lzma.LZMAError, OverflowError)
_XATTR = "SCHILY.xattr."


def unpack(archive: BinaryIO, root: int, to: str = "/", strip: int = 0) -> int:
    """Unpack into the folder `to` of the root whose descriptor is `root`; how many entries were made.

    strip: leading parts of the names to leave out; an entry with no more parts is passed over.
    Error: not a tar archive, cut off, or a member that is refused.
    """
    count = 0
    try:
        with tarfile.open(fileobj=archive, mode="r:*", tarinfo=_Member) as tar, Layer(root) as layer:
            for member in tar:
                name = _stripped(_safe(member.name), strip)
                if name or not strip:
                    count += _lay(layer, tar, member, f"{to.rstrip('/')}/{name}", to, strip)
    except _BROKEN as error:
        raise Error("not a tar archive, or a broken one", str(error)) from error
    except OSError as error:  # gzip's "Not a gzipped file", bz2's "Invalid data stream"
        raise Error("the archive cannot be read", error.strerror or str(error)) from error
    return count


class _Member(tarfile.TarInfo):
    """tarfile takes a header that is broken or missing for the archive's end: an archive ends with a block of zeros."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # typeshed has none; a block of zeros
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


def _lay(layer: Layer, tar: tarfile.TarFile, member: tarfile.TarInfo, path: str, to: str, strip: int) -> int:
    meta = Meta(member.mode & 0o7777, member.uid, member.gid, int(member.mtime * 10**9), tuple(_xattrs(member)))
    if member.isdir():
        layer.folder(path, meta)
    elif member.issym():
        layer.link(path, member.linkname, meta)
    elif member.islnk():
        layer.hard_link(path, f"{to}/{_stripped(_safe(member.linkname), strip)}")
    elif member.isfifo():
        layer.fifo(path, meta)
    elif member.isreg():
        layer.file(path, cast(BinaryIO, tar.extractfile(member)), meta, member.size)
    elif member.isdev() and path.strip("/").startswith("dev/"):
        return 0
    else:
        kind = "a device node" if member.isdev() else f"of the unknown type {member.type!r}"
        raise Error(f"{member.name} is {kind}", "no tree may hold one: a container's /dev is made for it")
    return 1


def _safe(name: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise Error(f"{name!r} would leave the folder it is unpacked into")
    return "/".join(parts)


def _stripped(name: str, strip: int) -> str:
    return "/".join(name.split("/")[strip:])


def _xattrs(member: tarfile.TarInfo) -> Iterator[tuple[str, bytes]]:
    """A member's extended attributes, but for those that mean something to the host or to an overlay."""
    for key, value in member.pax_headers.items():
        name = key.removeprefix(_XATTR)
        kept = name == "security.capability" or name.startswith(("user.", "system.posix_acl_"))
        if key.startswith(_XATTR) and kept and ".overlay." not in name:
            yield name, value.encode(errors="surrogateescape")
