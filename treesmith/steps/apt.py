"""apt: packages into a tree of Debian's family, from the tree's own sources, by the tree's own apt.

Downloads are kept outside the trees, in a pool that all builds share (see `pool`); lists are fetched each time. No
service is started, nothing is asked.
"""

import os
import shutil
from typing import Any

from treesmith import inventory
from treesmith.errors import Error
from treesmith.sandbox.sandbox import Bind
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


def run(step: Step, room: Room) -> dict[str, Any]:
    if not step.texts("packages"):
        return {"packages": {}}
    mirrors = {local_path(mirror) for made in room.made for mirror in made.get("mirrors", ())} - {""}
    with room.root() as root:
        before = inventory.debian(root)
    carry_out(step, room, ["install", *step.texts("packages")], mirrors)
    with room.root() as root:
        return {"packages": inventory.added(before, inventory.debian(root))}


def carry_out(step: Step, room: Room, request: list[str], mirrors: set[str]) -> None:
    """Let the tree's apt-get do what is requested, by the newest lists. mirrors: the host's folders it may ask for."""
    cache = room.cache("apt")
    own, pool = os.path.join(cache, "step"), os.path.join(cache, "pool")
    archives = os.path.join(own, "archives")
    if os.path.lexists(own):
        shutil.rmtree(own)
    for folder in (pool, os.path.join(own, "lists/partial"), os.path.join(archives, "partial")):
        os.makedirs(folder, exist_ok=True)
    binds = [Bind(own, _CACHE), *(Bind(path, path, read_only=True) for path in sorted(mirrors))]
    files = [(_CONFIGURATION, _configuration(step, room).encode()), _POLICY]
    apt = ["apt-get", "--yes", f"--config-file={_CONFIGURATION}"]
    room.inside([*apt, "update"], env=_ENV, binds=binds, files=files, what="apt-get update")
    ask = [*apt, "--quiet=2", "--print-uris", "-oAcquire::ForceHash=SHA256", *request]
    fetched = _fetched(room, ask, binds, files)
    lend(pool, fetched, archives)
    room.inside([*_HOLDER, *apt, *request], env=_ENV, binds=binds, files=files, what=f"apt-get {' '.join(request)}")
    keep(pool, fetched, archives)
    shutil.rmtree(own)


def _fetched(room: Room, argv: list[str], binds: list[Bind], files: list[tuple[str, bytes]]) -> list[Wanted]:
    try:
        return wanted(room.ask(argv, env=_ENV, binds=binds, files=files))
    except Error:
        return []  # the install fails as well, and says why


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
        'Dpkg::Use-Pty "0";',
        'Dpkg::Options { "--force-unsafe-io"; "--force-confdef"; "--force-confold"; };',
    ]
    return "\n".join(lines) + "\n"
