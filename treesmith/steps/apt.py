"""apt: packages into a tree of Debian's family, from the tree's own sources, by the tree's own apt.

A step that names a mirror adds it to the tree's sources: backports, a PPA, a vendor's. Its keyring is good for it
alone; without one those keys count that the tree's apt has anyway. Downloads are kept outside the trees, in a pool that
all builds share (see `pool`); lists are fetched each time. No service is started, nothing is asked.
"""

import io
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from treesmith import inventory
from treesmith.archive.layer import Layer, Meta
from treesmith.inventory import Archive
from treesmith.sandbox.sandbox import Bind
from treesmith.steps import aptget, debs
from treesmith.steps.aptget import LOCKED_SUITE, AptGet
from treesmith.steps.archives import shelf, unlocked
from treesmith.steps.debian import Source, line, release
from treesmith.steps.inputs import Inputs, Setting, digest_of
from treesmith.steps.room import Room
from treesmith.steps.schema import Option, Schema, Value
from treesmith.steps.source import check, is_pinned, keyring, keys, local_path, name_of, url
from treesmith.steps.step import Step

schema = Schema(
    kind="apt",
    help="packages, by the tree's own apt",
    main="packages",
    network=True,
    options={
        "packages": Option("strings", "names, or name=version, or name/suite", required=True),
        "recommends": Option("bool", "also what they recommend", False),
        "mirror": Option("source", "where from, besides what the tree has"),
        "suite": Option("string", "of the mirror: bookworm-backports; or a folder of it, as ./"),
        "components": Option("strings", "parts of the mirror; a folder has none", ("main",)),
        "keyring": Option("source", "whose signatures are good for the mirror alone, a file of gpg or in ASCII"),
        "trust": Option("bool", "take the mirror's packages unsigned, or signed by anybody", False),
        "expired": Option("bool", "also lists of contents that are past their date, as a snapshot's are", False),
    },
)


def inputs(step: Step, setting: Setting) -> Inputs:
    for package in step.texts("packages"):
        if package.startswith("-") or not package.isprintable() or " " in package or not package:
            raise step.error(f"{package!r} is no package's name", "packages")
    check(step, "suite", "keyring", "trust", "expired")
    facts: dict[str, Value] = {}
    if step.text("mirror"):
        if not step.text("suite"):
            raise step.error("apt needs the suite of the mirror", "mirror", hint='suite = "bookworm-backports"')
        facts["mirror.used"] = mirror = mirror_of(step)
        if step.text("keyring") and not step.is_on("trust"):
            facts["keyring.used"] = digest_of(keyring(step))
        if local_path(mirror) and not step.lock:
            facts["mirror.lists"] = release(step, Source(mirror, (step.text("suite"),)))
    return Inputs(facts, not step.network or are_folders(facts, setting))


def are_folders(facts: Mapping[str, Value], setting: Setting) -> bool:
    """Whether all of the tree's sources are folders of the host's, whose state is in the keys. It may have some of its
    own, unless it was made of a folder.
    """
    begun = "mirror.lists" in setting.below[0].facts if setting.below else False
    return begun and is_pinned(facts, setting)


def loose(step: Step) -> str:
    return unlocked(step)


def run(step: Step, room: Room) -> dict[str, Any]:
    own: dict[str, Any] = {}
    archives: dict[str, Archive] = {}
    with room.root() as root:
        before = inventory.debian(root)
        if step.text("mirror"):
            name = name_of(sum("source" in made for made in room.made))
            _add(step, root, name)
            own = {"mirrors": [mirror_of(step)], "source": name}
    if step.texts("packages") and step.lock:
        archives = step.archives
        _locked(step, room)
    elif step.texts("packages"):
        there = folders(room) | ({local_path(mirror_of(step))} - {""} if own else set())
        archives = carry_out(step, room, ["install", *step.texts("packages")], there)
    with room.root() as root:
        packages = inventory.added(before, inventory.debian(root))
    return {**own, "packages": packages, "archives": inventory.recorded(archives, packages)}


def mirror_of(step: Step) -> str:
    """A URL."""
    return str(step.lock.made["mirrors"][0]) if step.lock else url(step)


def _add(step: Step, root: int, name: str) -> None:
    """The mirror to the tree's sources, with its key."""
    options = ["check-valid-until=no"] if step.is_on("expired") else []
    with Layer(root) as layer:
        if step.is_on("trust"):
            options.append("trusted=yes")
        elif step.text("keyring"):
            key = keys(step)
            path = f"etc/apt/keyrings/{name}.{'asc' if key.startswith(b'-----') else 'gpg'}"
            layer.file(path, io.BytesIO(key), Meta(0o644))
            options.append(f"signed-by=/{path}")
        text = line(Source(mirror_of(step), (step.text("suite"),)), step.texts("components"), options)
        layer.text(f"etc/apt/sources.list.d/{name}.list", f"{text}\n")


def newer(step: Step, room: Room) -> dict[str, str]:
    """Of the packages that the step brought, those that have a newer version."""
    with folder(room) as own:
        return AptGet(step, room, own, binds(folders(room))).newer()


def folders(room: Room) -> set[str]:
    """The host's folders that the tree's sources are."""
    return {local_path(mirror) for made in room.made for mirror in made.get("mirrors", ())} - {""}


def binds(mirrors: set[str]) -> list[Bind]:
    """What it takes to reach such folders inside."""
    return [Bind(path, path, read_only=True) for path in sorted(mirrors)]


@contextmanager
def folder(room: Room) -> Iterator[str]:
    """One of the host's for apt-get to work in, beside `pool`."""
    cache = room.cache("archives")
    own = os.path.join(cache, "step")
    shutil.rmtree(own, ignore_errors=True)
    os.makedirs(own)
    os.makedirs(pool(room), exist_ok=True)
    try:
        yield own
    finally:
        shutil.rmtree(own)


def pool(room: Room) -> str:
    """Where all builds' downloads are kept by what they hold."""
    return os.path.join(room.cache("archives"), "pool")


def carry_out(step: Step, room: Room, request: list[str], mirrors: set[str]) -> dict[str, Archive]:
    """Let the tree's apt-get do what is requested, by the newest lists; what it installs, by NAME:ARCH.

    mirrors: the host's folders it may ask for.
    """
    with folder(room) as own:
        apt = AptGet(step, room, own, binds(mirrors))
        apt.inside(["update"])
        return aptget.packages(apt.get(request, pool(room)))


def _locked(step: Step, room: Room) -> None:
    """The same request, to a repository of what the lock names: so what is there for others' sake is marked so."""
    with shelf(step, room, debs.called) as shelves:
        debs.repository(shelves, room.inside, LOCKED_SUITE, room.arch)
        apt = AptGet(step, room, shelves.own, [shelves.bind])
        apt.inside(["update"])
        # NAME/SUITE asks for what came out of that one, and here all does.
        apt.inside(["install", *(package.partition("/")[0] for package in step.texts("packages"))])
