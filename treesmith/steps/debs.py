"""Debian packages as a lock has them: a repository of just these; and where a bootstrap got them from."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from treesmith.archive.read import read
from treesmith.inventory import Archive
from treesmith.linux.file import open_inside
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.archives import Shelf
from treesmith.steps.debian import architecture, stanzas
from treesmith.steps.room import PASSING

_OWN = f"{PASSING}/own"
_LISTS = "var/lib/apt/lists"
# The tools' own reader of packages says what is in each.
_FIELDS = f"""
cd "$1"
for file in *.deb; do
    [ -e "$file" ] || continue
    echo "Filename: $file"; dpkg-deb --field "$file"; echo
done >{_OWN}/fields
"""


_SPELLED = {"sha256": "SHA256"}  # debootstrap reads it so


class Listed(NamedTuple):
    """A package, as an archive's index has it."""

    archive: Archive
    priority: str


def called(archive: Archive) -> str:
    """By its digest: a package's own name may hold what a URL quotes."""
    return f"{archive.digest.partition(':')[2]}.deb"


def cached(package: str, version: str) -> str:
    """How apt and debootstrap call the file of NAME:ARCH in their caches."""
    name, _, arch = package.partition(":")
    return f"{name}_{version.replace(':', '%3a')}_{arch}.deb"


def repository(
    shelf: Shelf, program: Callable[..., None], suite: str, machine: str, priorities: Mapping[str, str] = {}
) -> list[Mapping[str, str]]:
    """Make a repository of the shelf's archives, of one component, main. Who uses it must trust it unsigned: it holds
    what the lock says. Returns the fields of each package.

    program: of the room, where a dpkg-deb is: `inside`, or `outside`. priorities: by NAME:ARCH, where they are not
    "optional": an index goes before what packages say of themselves.
    """
    there = [shelf.bind, Bind(shelf.own, _OWN)]
    program(["/bin/sh", "-e", "-c", _FIELDS, "sh", shelf.place], binds=there, what="dpkg-deb")
    with open(os.path.join(shelf.own, "fields"), encoding="utf-8", errors="surrogateescape") as file:
        packages = [*stanzas(file.read())]
    index = "".join(_entry(fields, shelf, priorities) for fields in packages)
    arch = architecture(machine)
    folder = os.path.join(shelf.archives, "dists", suite)
    name = f"main/binary-{arch}/Packages"
    data = index.encode(errors="surrogateescape")
    os.makedirs(os.path.join(folder, os.path.dirname(name)))
    with open(os.path.join(folder, name), "wb") as listed:
        listed.write(data)
    release = [
        f"Suite: {suite}", f"Codename: {suite}", f"Architectures: {arch}", "Components: main",
        "Date: Thu, 01 Jan 1970 00:00:00 UTC", "SHA256:", f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}",
    ]  # fmt: skip
    with open(os.path.join(folder, "Release"), "w", encoding="utf-8") as written:
        written.write("\n".join(release) + "\n")
    return packages


def _entry(fields: Mapping[str, str], shelf: Shelf, priorities: Mapping[str, str]) -> str:
    own = dict(fields)
    own["priority"] = priorities.get(f"{own.get('package')}:{own.get('architecture')}", "optional")
    own["size"] = str(os.stat(os.path.join(shelf.archives, own["filename"])).st_size)
    own["sha256"] = own["filename"].removesuffix(".deb")
    own.pop("description", None)
    return "".join(f"{_SPELLED.get(name, name.title())}: {value}\n" for name, value in own.items()) + "\n"


def listed(root: int, mirrors: list[str], packages: Mapping[str, str]) -> dict[str, Listed]:
    """Of `packages` (NAME:ARCH -> version) what the lists say that a bootstrap left in the tree.

    mirrors: whose lists those may be; the first one's also have debootstrap's name for them.
    """
    found: dict[str, Listed] = {}
    wanted = {name.partition(":")[0].encode() for name in packages}
    for name, data in _lists(root):
        mirror = next((uri for uri in mirrors if name.startswith(_encoded(uri))), mirrors[0])
        for stanza in data.split(b"\n\n"):  # tens of MB, of which only some are text to us
            first = stanza.lstrip(b"\n").partition(b"\n")[0]
            if first.removeprefix(b"Package: ") not in wanted:
                continue
            fields = next(iter(stanzas(stanza.decode(errors="replace"))))
            key = f"{fields.get('package')}:{fields.get('architecture')}"
            if packages.get(key) == fields.get("version") and "sha256" in fields:
                source = f"{mirror.rstrip('/')}/{fields.get('filename')}"
                found[key] = Listed(Archive(f"sha256:{fields['sha256']}", source), fields.get("priority", "optional"))
    return found


def _encoded(uri: str) -> str:
    """How apt calls the lists of a mirror."""
    return uri.partition("://")[2].rstrip("/").replace("_", "%5f").replace("/", "_") + "_dists_"


def _lists(root: int) -> Iterator[tuple[str, bytes]]:
    try:
        folder = open_inside(root, _LISTS, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith("_Packages"))
    finally:
        os.close(folder)
    for name in names:
        yield name, read(root, f"{_LISTS}/{name}")
