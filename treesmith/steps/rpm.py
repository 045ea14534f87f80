"""What dnf and zypper share: rpm's database, where its packages come from and whose signatures are good.

A step that names a mirror adds it to those that the steps below it named; all after it install from them all. Keys are
kept in the tree, and in the record as digests: a key that something in the tree has changed is nobody's word. rpm knows
one set of keys: what one source's key has signed is good from any.

The database is of the kind that the host's rpm makes (sqlite on Debian), which rpm before 4.16 cannot read.
"""

import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from treesmith import inventory
from treesmith.archive.layer import Layer, Meta
from treesmith.archive.read import read, read_below
from treesmith.errors import Error
from treesmith.inventory import Archive
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.inputs import Inputs, Setting, digest_of, key_of
from treesmith.steps.programs import driver
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Option, Schema, Value
from treesmith.steps.source import check, digest, is_named, is_pinned, kept, keyring, keys, local_path, name_of, url
from treesmith.steps.step import Step

CACHE = "/var/cache/treesmith"  # in the tools' root
ENV = {"HOME": f"{PASSING}/home"}
# Debian's rpm would keep its database in root's home; and no rpm can chown what is mounted.
_MACROS = (f"{PASSING}/home/.rpmmacros", b"%_dbpath /usr/lib/sysimage/rpm\n%_netsharedpath /dev:/proc:/sys\n")
_QUERY = "%{NAME}.%{ARCH} %{EVR}\\n"
DATABASE = "usr/lib/sysimage/rpm"
_KEYS = "etc/pki/rpm-gpg/RPM-GPG-KEY-"
_PROGRAMS = ("dnf", "zypper")

OPTIONS: Mapping[str, Option] = {
    "packages": Option("strings", "names, or name-version, or @group", required=True),
    "release": Option("string", "where the tree's first mirror is named: the release, as 40"),
    "mirror": Option("source", "where from, besides what the tree has; a URL may hold $releasever and $basearch"),
    "keyring": Option("source", "whose signatures are good, a file of keys in ASCII"),
    "trust": Option("bool", "take the mirror's packages unsigned, or signed by anybody", False),
    "recommends": Option("bool", "also what they recommend", False),
}


class Source(NamedTuple):
    name: str  # of its files in the tree
    mirror: str  # a URL
    key: bytes  # in ASCII; b"": trusted


class Sources(NamedTuple):
    """Those that a step installs from, its own the last."""

    release: str
    all: tuple[Source, ...]

    @property
    def digest(self) -> str:
        """Who is trusted alike: packages' scripts can write to the cache."""
        return key_of(self.release, {source.mirror: digest(source.key) for source in self.all})[:16]

    @property
    def folders(self) -> list[str]:
        """The host's folders among the mirrors."""
        return sorted({local_path(source.mirror) for source in self.all} - {""})

    def record(self) -> dict[str, Any]:
        """For `below`."""
        listed = [{"mirror": source.mirror, "key": digest(source.key)} for source in self.all]
        return {"release": self.release, "sources": listed}


def inputs(step: Step, setting: Setting, schema: Schema) -> Inputs:
    for package in step.texts("packages"):
        if not package or package[0] in "-!~" or not package.isprintable() or " " in package:
            raise step.error(f"{package!r} is no package's name", "packages")
        if "://" in package or package.endswith(".rpm"):  # whose signature they do not check
            raise step.error(f"{package!r} is a file, not a package of a mirror", "packages")
    if not step.texts("packages") and not is_named(setting):
        raise step.error(f"{step.kind} fills no root without packages", "packages")
    check(step, "release", "keyring", "trust")
    facts: dict[str, Value] = {"driver": " ".join(driver(step, schema))}
    if step.text("mirror"):
        facts["mirror.used"] = mirror = url(step)
        if not step.is_on("trust"):
            facts["keyring.used"] = digest_of(keyring(step))
        if (local := local_path(mirror)) and not step.lock:
            path = os.path.join(local, "repodata/repomd.xml")
            if not os.path.isfile(path):
                raise step.error(f"no packages in {local}", "mirror", f"there is no {path}", "createrepo_c makes one")
            facts["mirror.lists"] = digest_of(path)
    return Inputs(facts, is_pinned(facts, setting))


def sources(step: Step, room: Room) -> Sources:
    """Error: no step has named one; a key in the tree is not what it was."""
    ours = (made for made in reversed(room.made) if str(made.get("driver", "")).startswith(_PROGRAMS))
    below: Mapping[str, Any] = next(ours, {})
    listed = below.get("sources", ())
    found = []
    for number, entry in enumerate(listed):
        name = name_of(number)
        found.append(Source(name, entry["mirror"], kept(room, f"{_KEYS}{name}", entry["key"])))
    if step.text("mirror"):
        own = Source(name_of(len(found)), url(step), keys(step))
        if not any(own[1:] == source[1:] for source in found):
            found.append(own)
    if not found:
        raise Error(f"{step.kind} has no source", "no step below named one", "mirror and keyring name it")
    return Sources(step.text("release") or str(below.get("release", "")), tuple(found))


def surroundings(step: Step, found: Sources, cache: str) -> tuple[list[Bind], list[tuple[str, bytes]]]:
    """What the host's programs need among the tools: (binds, files), each source's key at `key_path` among them."""
    folders = [] if step.lock else found.folders
    binds = [Bind(cache, CACHE), *(Bind(folder, folder, read_only=True) for folder in folders)]
    return binds, [_MACROS, *((key_path(source), source.key) for source in found.all if source.key)]


def vouch(room: Room, found: Sources, binds: Sequence[Bind], files: Sequence[tuple[str, bytes]]) -> None:
    """Let the tree's database know the sources' keys."""
    for source in found.all:
        if source.key:
            argv = ["rpm", "--root", "/target", "--import", key_path(source)]
            room.outside(argv, binds=binds, files=files, env=ENV, what="rpm --import")


def archives(
    found: Sources, arch: str, packages: Mapping[str, str], lists: Callable[[Source], Iterable[str]]
) -> dict[str, Archive]:
    """Where packages are from, by the lists of contents (primary.xml) that a program keeps of a source: host paths."""
    result: dict[str, Archive] = {}
    for source in found.all:
        mirror = source.mirror.replace("$releasever", found.release).replace("$basearch", arch)
        for path in sorted(lists(source), key=os.path.getmtime):
            with open(path, "rb") as file:
                result |= inventory.rpm_archives(file.read(), mirror, packages)
    return result


def key_path(source: Source) -> str:
    return f"{PASSING}/{source.name}.asc"


def section(source: Source, key: str) -> list[str]:
    """A repository, as dnf.conf(5) and zypper(8) read it. key: a path."""
    lines = [f"[{source.name}]", f"name={source.name}", f"baseurl={source.mirror}", "enabled=1"]
    return [*lines, f"gpgcheck={int(bool(source.key))}", *([f"gpgkey=file://{key}"] if source.key else [])]


def installed(room: Room, cache: str, binds: Sequence[Bind], files: Sequence[tuple[str, bytes]]) -> dict[str, str]:
    """NAME.ARCH -> version of every package in the tree's database; none where it has none."""
    with room.root() as root:
        if not read(root, f"{DATABASE}/rpmdb.sqlite"):
            return {}
    query = f"rpm --root /target --dbpath /{DATABASE} -qa --qf '{_QUERY}' >{CACHE}/installed"
    room.outside(["/bin/sh", "-e", "-c", query], env=ENV, binds=binds, files=files, what="rpm -qa")
    lines = read_below(cache, "installed").decode(errors="replace").splitlines()
    packages = dict(line.split(" ", 1) for line in lines if " " in line)
    os.unlink(os.path.join(cache, "installed"))
    return {name: version for name, version in sorted(packages.items()) if not name.startswith("gpg-pubkey.")}


def name_sources(room: Room, found: Sources, folder: str) -> None:
    """Into the tree, in `folder` of it, with their keys."""
    with room.root() as root, Layer(root) as layer:
        for source in found.all:
            path = f"{_KEYS}{source.name}"
            if source.key:
                layer.file(path, io.BytesIO(source.key), Meta(0o644))
            layer.text(f"{folder}/{source.name}.repo", "\n".join([*section(source, f"/{path}"), ""]))


def tidy(room: Room, rubbish: Sequence[str]) -> None:
    """Leave of their programs nothing in the tree but what they installed."""
    with room.root() as root, Layer(root) as layer:
        for path, mode in (("dev", 0o755), ("proc", 0o555), ("sys", 0o555)):
            layer.folder(path, Meta(mode))
        for path in (*rubbish, CACHE, *(f"{DATABASE}/rpmdb.sqlite{end}" for end in ("-shm", "-wal"))):
            layer.remove(path)
