"""apt: packages into a tree of Debian's family, from the tree's own sources, by the tree's own apt.

Downloads are kept outside the trees, in a pool that all builds share (see `pool`); lists are fetched each time. No
service is started, nothing is asked.
"""

import os
import shutil
from typing import Any

from treesmith import inventory
from treesmith.errors import Error
from treesmith.inventory import Archive
from treesmith.sandbox.sandbox import Bind
from treesmith.steps import debs
from treesmith.steps.archives import LOCKED, shelf, unlocked
from treesmith.steps.inputs import Inputs, Setting
from treesmith.steps.network import outfit
from treesmith.steps.pool import Wanted, keep, lend, wanted
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Option, Schema
from treesmith.steps.source import local_path
from treesmith.steps.step import Step

schema = Schema(
    kind="apt",
    help="packages, by the tree's own apt",
    main="packages",
    network=True,
    options={
        "packages": Option("strings", "names, or name=version, or name/suite", required=True),
        "recommends": Option("bool", "also what they recommend", False),
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
    # From a mirror that is a folder, its state is in the key of the step that made the tree of it.
    pinned = not step.network or any("mirror.release" in below.facts for below in setting.below)
    return Inputs({}, pinned)


def loose(step: Step) -> str:
    return unlocked(step)


def run(step: Step, room: Room) -> dict[str, Any]:
    if not step.texts("packages"):
        return {"packages": {}}
    with room.root() as root:
        before = inventory.debian(root)
    if step.lock:
        archives = step.archives
        _locked(step, room)
    else:
        mirrors = {local_path(mirror) for made in room.made for mirror in made.get("mirrors", ())} - {""}
        archives = carry_out(step, room, ["install", *step.texts("packages")], mirrors)
    with room.root() as root:
        packages = inventory.added(before, inventory.debian(root))
    return {"packages": packages, "archives": inventory.recorded(archives, packages)}


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
        argv = [*self._argv, "--quiet=2", "--print-uris", "-oAcquire::ForceHash=SHA256", *request]
        try:
            return wanted(self._room.ask(argv, env=_ENV, binds=self._binds, files=self._files))
        except Error:
            return []


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
