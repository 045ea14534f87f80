"""A tar archive into a root. tarfile only parses here: its extraction filters mask setuid and refuse what roots hold.

Names are taken relative to the root; one with ".." in it is refused, and so is anything but files, folders, links and
FIFOs. Device nodes in /dev are passed over, as a container has a /dev of its own: elsewhere they are refused.
"""

import lzma
import tarfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Self, cast

from treesmith.archive.layer import Layer, Meta, is_kept
from treesmith.errors import Error

BROKEN = (tarfile.TarError, EOFError, ValueError, zlib.error, lzma.LZMAError, OverflowError)
_XATTR = "SCHILY.xattr."
_DESCRIBING = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_LONGEST = 1 << 20  # bytes that describe a member; Linux's xattrs are 64 KiB at most


def unpack(archive: BinaryIO, root: int, to: str = "/", strip: int = 0) -> int:
    """Unpack into the folder `to` of the root whose descriptor is `root`; how many entries were made.

    strip: leading parts of the names to leave out; an entry with no more parts is passed over.
    Error: not a tar archive, cut off, or a member that is refused.
    """
    count = 0
    try:
        with tarfile.open(fileobj=archive, mode="r:*", tarinfo=_Whole) as tar, Layer(root) as layer:
            for member in tar:
                name = _stripped(safe(member.name), strip)
                if name or not strip:
                    linked = f"{to}/{_stripped(safe(member.linkname), strip)}" if member.islnk() else ""
                    count += lay(layer, tar, member, f"{to.rstrip('/')}/{name}", linked)
    except BROKEN as error:
        raise Error("not a tar archive, or a broken one", str(error)) from error
    except OSError as error:  # gzip's "Not a gzipped file", bz2's "Invalid data stream"
        raise Error("the archive cannot be read", error.strerror or str(error)) from error
    return count


class Member(tarfile.TarInfo):
    """tarfile takes a header that is broken for the archive's end.

    And it reads a member that describes the next one, a long name or pax records, into memory, whatever its size.
    """

    # typeshed has neither
    ends: tuple[type[Exception], ...] = (tarfile.EOFHeaderError, tarfile.EmptyHeaderError)  # type: ignore[attr-defined]

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except cls.ends:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error

    def _proc_member(self, archive: tarfile.TarFile) -> Self:
        """tarfile's place for what is particular to a type."""
        if self.type in _DESCRIBING and self.size > _LONGEST:
            raise tarfile.ReadError(f"{self.size} bytes to describe one member")
        return cast(Self, super()._proc_member(archive))  # type: ignore[misc]  # typeshed has none


class _Whole(Member):
    """Of an archive that must end with a block of zeros, as nothing else tells whether it is cut off."""

    ends = (tarfile.EOFHeaderError,)  # type: ignore[attr-defined]  # typeshed has none


def lay(layer: Layer, tar: tarfile.TarFile, member: tarfile.TarInfo, path: str, linked: str) -> int:
    """Make a member at `path`; `linked` is the path that a hard link's target has. How many entries were made."""
    _check_numbers(member)
    meta = Meta(member.mode & 0o7777, member.uid, member.gid, _time(member), tuple(_xattrs(member)))
    if member.isdir():
        layer.folder(path, meta)
    elif member.issym():
        layer.link(path, member.linkname, meta)
    elif member.islnk():
        layer.hard_link(path, linked)
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


def _check_numbers(member: tarfile.TarInfo) -> None:
    """tarfile takes a pax record that is no number for 0: root's, or no content, and then reads that as headers."""
    for field, number in tarfile.PAX_NUMBER_FIELDS.items():
        text = member.pax_headers.get(field, "0")
        try:
            number(text)
        except ValueError:
            raise Error(f"{member.name}: its {field}, {text[:100]!r}, is no number") from None


def safe(name: str) -> str:
    """A member's name without empty parts. Error: it would leave the root."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise Error(f"{name!r} would leave the folder it is unpacked into")
    return "/".join(parts)


def _stripped(name: str, strip: int) -> str:
    return "/".join(name.split("/")[strip:])


def _time(member: tarfile.TarInfo) -> int:
    """ns, of the pax record where there is one: as a float it would be right to 0.2 us."""
    text = member.pax_headers.get("mtime", "")
    whole, _, part = text.partition(".")
    if whole.removeprefix("-").isdecimal() and part.isdecimal():
        time = abs(int(whole)) * 10**9 + int(part[:9].ljust(9, "0"))
        return -time if whole.startswith("-") else time
    return int(member.mtime * 10**9)


def _xattrs(member: tarfile.TarInfo) -> Iterator[tuple[str, bytes]]:
    for key, value in member.pax_headers.items():
        if key.startswith(_XATTR) and is_kept(key.removeprefix(_XATTR)):
            yield key.removeprefix(_XATTR), value.encode(errors="surrogateescape")
