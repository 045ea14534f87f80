"""apt: packages into a tree of Debian's family, from the tree's own sources, by the tree's own apt.

Downloads and lists are kept outside the trees, in a cache that all builds share. No service is started,
nothing is asked.
"""

import os
from typing import Any

from treesmith.sandbox.sandbox import Bind
from treesmith.steps import installed
from treesmith.steps.debootstrap import local_path
from treesmith.steps.inputs import Inputs, Setting
from treesmith.steps.network import outfit
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Option, Schema
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
# Asked before a service is started, by invoke-rc.d(8) and deb-systemd-invoke(1): never.
_POLICY = ("/usr/sbin/policy-rc.d", b"#!/bin/sh\nexit 101\n")
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
    cache = room.cache("apt")
    for name in ("lists/partial", "archives/partial"):
        os.makedirs(os.path.join(cache, name), exist_ok=True)
    mirrors = {local_path(str(made.get("mirror", ""))) for made in room.made} - {""}
    binds = [Bind(cache, _CACHE), *(Bind(path, path, read_only=True) for path in sorted(mirrors))]
    with room.root() as root:
        before = installed.debian(root)
    apt = ["apt-get", "-y", *(f"-o{option}" for option in _options(step, room))]
    for command in (["update"], ["install", *step.texts("packages")]):
        room.inside([*apt, *command], env=_ENV, binds=binds, files=[_POLICY])
    with room.root() as root:
        return {"packages": installed.added(before, installed.debian(root))}


def _options(step: Step, room: Room) -> list[str]:
    """apt.conf(5)"""
    bundle = outfit(room.caller).bundle if step.network else ""
    return [
        f"Dir::State::lists={_CACHE}/lists",
        f"Dir::Cache::archives={_CACHE}/archives",
        "Dir::Cache::pkgcache=",
        "Dir::Cache::srcpkgcache=",
        # The sandbox is around all of it, and the cache is shared by trees whose _apt has another uid.
        "APT::Sandbox::User=root",
        f"APT::Install-Recommends={'true' if step.is_on('recommends') else 'false'}",
        "APT::Update::Error-Mode=any",  # else an unreachable mirror is a warning, and old lists do
        "Acquire::Retries=3",
        *([f"Acquire::https::CAInfo={bundle}"] if bundle else []),
        "Dpkg::Use-Pty=0",
        "Dpkg::Options::=--force-unsafe-io",
        "Dpkg::Options::=--force-confdef",
        "Dpkg::Options::=--force-confold",
    ]
