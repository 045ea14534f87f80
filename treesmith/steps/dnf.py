"""dnf: Fedora, or one of its family, into an empty root; later, packages into it. By the host's dnf, outside the tree.

Packages' signatures are checked against the keyring, except of a source that the recipe trusts; `rpm` says where they
come from. A package whose %post fails is installed all the same, and dnf ends with 0: what it prints then is a failure
here.
"""

import glob
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from treesmith import inventory
from treesmith.linux.call import machine
from treesmith.sandbox.sandbox import Bind
from treesmith.steps import rpm
from treesmith.steps.archives import LOCKED, shelf, taken, unlocked
from treesmith.steps.inputs import Inputs, Setting
from treesmith.steps.network import outfit
from treesmith.steps.programs import driver
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Schema
from treesmith.steps.source import is_named
from treesmith.steps.step import Step

schema = Schema(
    kind="dnf",
    help="packages of Fedora's family, into an empty root or a tree",
    main="packages",
    network=True,
    drivers=("dnf5", "dnf"),
    bootstraps="also",
    options=rpm.OPTIONS,
)

_CONFIGURATION = f"{PASSING}/dnf.conf"
_ALARMS = ("scriptlet failed, ", "Error in ")
_RUBBISH = (
    "var/lib/dnf", "var/cache/dnf", "var/cache/libdnf5", "var/log/hawkey.log", "var/log/dnf.log",
    "var/log/dnf.librepo.log", "var/log/dnf.rpm.log", "var/log/dnf5.log",
)  # fmt: skip


def inputs(step: Step, setting: Setting) -> Inputs:
    if step.text("mirror") and not step.text("release") and not is_named(setting):
        raise step.error("dnf needs the release with its mirror", "mirror", hint='release = "40"')
    return rpm.inputs(step, setting, schema)


def loose(step: Step) -> str:
    return unlocked(step)


def run(step: Step, room: Room) -> dict[str, Any]:
    name, version = driver(step, schema)
    sources = rpm.sources(step, room)
    cache = room.cache(f"dnf-{sources.digest}")
    binds, files = rpm.surroundings(step, sources, cache)
    files.append((_CONFIGURATION, _configuration(step, room, sources).encode()))
    room.say(f"{name} {version}: {' '.join(step.texts('packages'))} from {sources.all[-1].mirror}")
    before = rpm.installed(room, cache, binds, files)

    def install(packages: Sequence[str], more: Sequence[Bind] = ()) -> None:
        argv = command(name, sources.release, room.arch, ["install", *packages])
        there = [*binds, *more]
        if packages:
            room.outside(argv, binds=there, files=files, env=rpm.ENV, what=f"{name} install", alarms=_ALARMS)

    if step.lock:
        with shelf(step, room) as shelves:
            rpm.vouch(room, sources, binds, files)  # dnf takes keys from its sources, and has none now
            install(sorted(f"{LOCKED}/{file}" for file in os.listdir(shelves.archives)), [shelves.bind])
    else:
        install(step.texts("packages"))
    packages = inventory.added(before, rpm.installed(room, cache, binds, files))
    archives = step.archives if step.lock else rpm.archives(sources, room.arch, packages, partial(_lists, cache))
    rpm.tidy(room, sources, "etc/yum.repos.d", _RUBBISH)
    made = {"driver": f"{name} {version}", **sources.record(), "packages": packages}
    return {**made, "archives": inventory.recorded(archives, packages)}


def newer(step: Step, room: Room) -> dict[str, str]:
    name, _ = driver(step, schema)
    sources = rpm.sources(step, room)
    cache = room.cache("dnf-newer")
    binds, files = rpm.surroundings(step, sources, cache)
    files.append((_CONFIGURATION, _configuration(step, room, sources).encode()))
    ask = ["-q", "repoquery", "--upgrades", "--latest-limit=1", "--queryformat", "%{name}.%{arch} %{evr}\n"]
    argv = ["/bin/sh", "-c", f'"$@" >{rpm.CACHE}/said', "sh", *command(name, sources.release, room.arch, ask)]
    room.outside(argv, binds=binds, files=files, env=rpm.ENV, what=f"{name} repoquery")
    said = taken(cache, "said").decode(errors="replace")
    return dict(line.split(" ", 1) for line in said.splitlines() if " " in line)


def _lists(cache: str, source: rpm.Source) -> list[str]:
    """The lists of contents that dnf keeps of a source, in NAME-DIGEST."""
    found = glob.glob(f"{glob.escape(cache)}/dnf/{source.name}-*/repodata/*primary.xml*")
    return [path for path in found if path.split("/")[-3].rpartition("-")[0] == source.name]


def command(name: str, release: str, arch: str, words: Sequence[str]) -> list[str]:
    """Of dnf or dnf5: what the one calls cachedir is system_cachedir in the other, and paths in the configuration are
    of the tree.
    """
    argv = [name, "-y", f"--config={_CONFIGURATION}", "--installroot=/target", f"--releasever={release}"]
    argv.append(f"--setopt={'system_cachedir' if name == 'dnf5' else 'cachedir'}={rpm.CACHE}/dnf")
    argv += [f"--forcearch={arch}"] if arch != machine else []
    return [*argv, *words]


def _configuration(step: Step, room: Room, sources: rpm.Sources) -> str:
    """dnf.conf(5). Debian's dnf would go on without a source that it cannot reach."""
    bundle = outfit(room.caller).bundle if step.network else ""
    listed = () if step.lock else sources.all
    proxies = {name.lower(): value for name, value in room.caller.items() if name.lower().endswith("s_proxy")}
    lines = [
        "[main]", "reposdir=/nonexistent", "plugins=0", "best=1", "skip_if_unavailable=0", "keepcache=1",
        "metadata_expire=0", "retries=3", f"install_weak_deps={int(step.is_on('recommends'))}", "tsflags=",
        *([f"sslcacert={bundle}"] if bundle else []),
        *([f"proxy={proxies['https_proxy']}"] if proxies.get("https_proxy") and step.network else []),
        f"localpkg_gpgcheck={int(all(source.key for source in sources.all))}",
        *(line for source in listed for line in rpm.section(source, rpm.key_path(source))),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
