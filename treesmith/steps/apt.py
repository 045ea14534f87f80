"""apt: packages into a tree of Debian's family, from the tree's own sources, by the tree's own apt.

A step that names a mirror adds it to the tree's sources: backports, a PPA, a vendor's. Its keyring is good for it
alone; without one those keys count that the tree's apt has anyway. Downloads are kept outside the trees, in a pool that
all builds share (see `pool`); lists are fetched each time. No service is started, nothing is asked.
"""

import io
import os
import shutil
from typing import Any

from treesmith import inventory
from treesmith.archive.layer import Layer, Meta
from treesmith.errors import Error
from treesmith.inventory import Archive
from treesmith.sandbox.sandbox import Bind
from treesmith.steps import debs
from treesmith.steps.archives import LOCKED, shelf, unlocked
from treesmith.steps.debian import Source, line, release
from treesmith.steps.inputs import Inputs, Setting, digest_of
from treesmith.steps.network import outfit
from treesmith.steps.pool import Wanted, keep, lend, wanted
from treesmith.steps.room import PASSING, Room
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

_CACHE = f"{PASSING}/apt"
_CONFIGURATION = f"{PASSING}/apt.conf"
_SOURCES = f"{PASSING}/sources.list"
_LOCKED_SUITE = "locked"
# Nothing but the lock says which version it is: no source of the tree's, and none of its preferences.
_LOCKED = [f'Dir::Etc::sourcelist "{_SOURCES}";'] + [
    f'Dir::Etc::{name} "/dev/null";' for name in ("sourceparts", "preferences", "preferencesparts")
]
# Asked before a service is started, by invoke-rc.d(8) and deb-systemd-invoke(1): never.
_POLICY = ("/usr/sbin/policy-rc.d", b"#!/bin/sh\nexit 101\n")
# The sandbox's init hands on what packages signal to pid 1, as sysvinit-core does with USR1; apt would die of it.
_HOLDER = ["/bin/sh", "-c", 'trap : HUP USR1 USR2; "$@"', "sh"]
_ENV = {"DEBIAN_FRONTEND": "noninteractive", "DEBCONF_NONINTERACTIVE_SEEN": "true", "LC_ALL": "C.UTF-8"}


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
    # The tree may have sources of its own, unless it was made of a folder.
    begun = "mirror.lists" in setting.below[0].facts if setting.below else False
    return Inputs(facts, not step.network or (begun and is_pinned(facts, setting)))


def loose(step: Step) -> str:
    return unlocked(step)


def run(step: Step, room: Room) -> dict[str, Any]:
    mirrors = [mirror for made in room.made for mirror in made.get("mirrors", ())]
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
        folders = {local_path(mirror) for mirror in (*mirrors, *own.get("mirrors", ()))} - {""}
        archives = carry_out(step, room, ["install", *step.texts("packages")], folders)
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
    mirrors = _mirrors(room)
    cache = room.cache("archives")
    own = os.path.join(cache, "step")
    shutil.rmtree(own, ignore_errors=True)
    apt = _Apt(step, room, own, [Bind(path, path, read_only=True) for path in sorted(mirrors)])
    try:
        apt.inside(["update"])
        return inventory.simulated(apt.ask(["--simulate", "dist-upgrade"]))
    finally:
        shutil.rmtree(own)


def _mirrors(room: Room) -> set[str]:
    """The host's folders that the tree's sources are."""
    return {local_path(mirror) for made in room.made for mirror in made.get("mirrors", ())} - {""}


def carry_out(step: Step, room: Room, request: list[str], mirrors: set[str]) -> dict[str, Archive]:
    """Let the tree's apt-get do what is requested, by the newest lists; what it installs, by NAME:ARCH.

    mirrors: the host's folders it may ask for.
    """
    cache = room.cache("archives")
    own, pool = os.path.join(cache, "step"), os.path.join(cache, "pool")
    if os.path.lexists(own):
        shutil.rmtree(own)
    os.makedirs(pool, exist_ok=True)
    apt = _Apt(step, room, own, [Bind(path, path, read_only=True) for path in sorted(mirrors)])
    apt.inside(["update"])
    fetched = apt.fetches(request)
    lend(pool, fetched, apt.archives)
    apt.inside(request)
    keep(pool, fetched, apt.archives)
    shutil.rmtree(own)
    return {_package(file.name): Archive(f"sha256:{file.digest}", file.source) for file in fetched}


def _package(name: str) -> str:
    """NAME:ARCH of NAME_VERSION_ARCH.deb, as apt calls what it fetches."""
    parts = name.removesuffix(".deb").split("_")
    return f"{parts[0]}:{parts[-1]}"


def _locked(step: Step, room: Room) -> None:
    """The same request, to a repository of what the lock names: so what is there for others' sake is marked so."""
    with shelf(step, room, debs.called) as shelves:
        debs.repository(shelves, room.inside, _LOCKED_SUITE, room.arch)
        apt = _Apt(step, room, shelves.own, [shelves.bind])
        apt.inside(["update"])
        # NAME/SUITE asks for what came out of that one, and here all does.
        apt.inside(["install", *(package.partition("/")[0] for package in step.texts("packages"))])


class _Apt:
    """The tree's apt-get, for one step; `own` is the host's folder that it works in."""

    def __init__(self, step: Step, room: Room, own: str, sources: list[Bind]) -> None:
        self.archives = os.path.join(own, "archives")
        for folder in (os.path.join(own, "lists/partial"), os.path.join(self.archives, "partial")):
            os.makedirs(folder)
        self._room = room
        self._binds = [Bind(own, _CACHE), *sources]
        self._files = [(_CONFIGURATION, _configuration(step, room).encode()), _POLICY]
        if step.lock:
            source = f"deb [trusted=yes] file://{LOCKED} {_LOCKED_SUITE} main\n"
            self._files.append((_SOURCES, source.encode()))
        self._argv = ["apt-get", "--yes", f"--config-file={_CONFIGURATION}"]

    def inside(self, request: list[str]) -> None:
        argv = [*_HOLDER, *self._argv, *request]
        self._room.inside(argv, env=_ENV, binds=self._binds, files=self._files, what=f"apt-get {' '.join(request)}")

    def fetches(self, request: list[str]) -> list[Wanted]:
        """What it would fetch for that, by its lists. Nothing where it cannot do it: then `inside` says why."""
        try:
            return wanted(self.ask(["--quiet=2", "--print-uris", "-oAcquire::ForceHash=SHA256", *request]))
        except Error:
            return []

    def ask(self, request: list[str]) -> str:
        """What it says to that."""
        return self._room.ask([*self._argv, *request], env=_ENV, binds=self._binds, files=self._files)


def _configuration(step: Step, room: Room) -> str:
    """apt.conf(5); read after the tree's own."""
    bundle = outfit(room.caller).bundle if step.network else ""
    lines = [
        f'Dir::State::lists "{_CACHE}/lists";',
        f'Dir::Cache::archives "{_CACHE}/archives";',
        'Dir::Cache::pkgcache "";',
        'Dir::Cache::srcpkgcache "";',
        # The sandbox is around all of it, and _apt could not read a mirror that is a folder of root's.
        'APT::Sandbox::User "root";',
        f'APT::Install-Recommends "{"true" if step.is_on("recommends") else "false"}";',
        'APT::Update::Error-Mode "any";',  # else an unreachable mirror is a warning, and old lists do
        'Acquire::Retries "3";',
        *([f'Acquire::https::CAInfo "{bundle}";'] if bundle else []),
        *(_LOCKED if step.lock else []),
        'Dpkg::Use-Pty "0";',
        'Dpkg::Options { "--force-unsafe-io"; "--force-confdef"; "--force-confold"; };',
    ]
    return "\n".join(lines) + "\n"
