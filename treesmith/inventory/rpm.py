"""A repository's list of contents, as dnf keeps it: createrepo_c(8)."""

import re
from collections.abc import Mapping
from io import BufferedReader, BytesIO
from urllib.parse import quote, unquote

from treesmith.inventory.archives import Archive
from treesmith.linux.zstd import MAGIC, Zstd

# No parser: Fedora's list is 150 MB of XML, of which a few lines are wanted.
_PACKAGE = re.compile(
    rb'<checksum type="sha256"[^>]*>(?P<digest>[0-9a-f]{64})</checksum>.*?<location[^>]*\bhref="(?P<href>[^"]+)"',
    re.DOTALL,
)


def rpm_archives(primary: bytes, mirror: str, packages: Mapping[str, str]) -> dict[str, Archive]:
    """Of `packages` (NAME.ARCH -> [EPOCH:]VERSION-RELEASE) the archives, by a primary.xml, compressed or not.

    mirror: its URL.
    """
    wanted = {f"{_file(name, version)}.rpm": name for name, version in packages.items()}
    found = {}
    for package in _PACKAGE.finditer(_plain(primary)):
        href = package["href"].decode().replace("&amp;", "&")
        if name := wanted.get(unquote(href).rpartition("/")[2]):
            found[name] = Archive(
                f"sha256:{package['digest'].decode()}", f"{mirror.rstrip('/')}/{quote(unquote(href))}"
            )
    return found


def _file(name: str, version: str) -> str:
    """NAME-VERSION-RELEASE.ARCH"""
    plain, _, arch = name.rpartition(".")
    return f"{plain}-{version.rpartition(':')[2]}.{arch}"


def _plain(data: bytes) -> bytes:
    if data.startswith(b"\x1f\x8b"):
        import gzip

        return gzip.decompress(data)
    if data.startswith(b"\xfd7zXZ"):
        import lzma

        return lzma.decompress(data)
    if data.startswith(MAGIC):
        stream = Zstd(BufferedReader(BytesIO(data)))
        return b"".join(iter(stream.read, b""))
    return data
