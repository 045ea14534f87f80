"""Debian's source packages as text: dsc(5), deb-changelog(5), and the keys that sign them. Pure."""

import base64
import re
from typing import NamedTuple

from treesmith.errors import Error
from treesmith.steps.debian import stanzas

_HEAD = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]+) \((?P<version>[^\s()]+)\)")
_TRAILER = re.compile(r"^ -- .*?>  (?P<date>.+)$", re.MULTILINE)
_ARMORED = re.compile(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----(?P<block>.*?)-----END", re.DOTALL)


class Head(NamedTuple):
    """Of a changelog: what it is about."""

    name: str
    version: str


def files(text: str) -> list[str]:
    """What a .dsc says that the source package is of, beside itself. Error: it says nothing, or leaves its folder."""
    fields = next((fields for fields in stanzas(text) if "source" in fields and "files" in fields), {})
    names = fields.get("files", "").split()[2::3]
    if not names or any("/" in name or name.startswith(".") for name in names):
        raise Error("it names no files of a source package", f"Files: {fields.get('files', '')}"[:200])
    return names


def head(changelog: str) -> Head:
    """Error: it has none."""
    found = _HEAD.match(changelog.lstrip())
    if not found:
        raise Error("no version is in its debian/changelog", changelog[:200].strip())
    return Head(found["name"], found["version"])


def anew(changelog: str, suffix: str, what: list[str]) -> str:
    """With a version of its own, of the same time: that goes into what is built. what: was done to it."""
    name, version = head(changelog)
    date = _TRAILER.search(changelog)
    if not date:
        raise Error("no date is in its debian/changelog", changelog[:200].strip())
    lines = [f"{name} ({version}{suffix}) UNRELEASED; urgency=medium", "", *(f"  * {line}" for line in what), ""]
    return "\n".join([*lines, f" -- treesmith <root@localhost>  {date['date']}", "", changelog])


def dearmored(keys: bytes) -> bytes:
    """A keyring as gpgv reads it, of one in ASCII too."""
    blocks = [found["block"] for found in _ARMORED.finditer(keys)]
    if not blocks:
        return keys
    bodies = (block.replace(b"\r", b"").split(b"\n\n", 1)[-1] for block in blocks)  # headers end with an empty line
    return b"".join(base64.b64decode(body.partition(b"\n=")[0]) for body in bodies)  # a checksum follows
