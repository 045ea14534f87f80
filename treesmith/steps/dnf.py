"""dnf: Fedora, or one of its family, into an empty root; later, packages into it. By the host's dnf, outside the tree.

Packages' signatures are checked against the keyring, except of a source that the recipe trusts; `rpm` says where they
come from. A package whose %post fails is installed all the same, and dnf ends with 0: what it prints then is a failure
here.
"""

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from treesmith import inventory
from treesmith.inventory import Archive
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
RUBBISH = (
    "var/lib/dnf", "var/cache/dnf", "var/cache/libdnf5", "var/log/hawkey.log", "var/log/dnf.log",
    "var/log/dnf.librepo.log", "var/log/dnf.rpm.log", "var/log/dnf5.log",
)  # fmt: skip


def inputs(step: Step, setting: Setting) -> Inputs:
    if step.text("mirror") and not step.text("release") and not is_named(setting):
        raise step.error("dnf needs the release with its mirror", "mirror", hint='release = "40"')
    return rpm.inputs(step, setting, schema)


def loose(step: Step) -> str:
    return unlocked(step)


class Built(NamedTuple):
    """A repository of what a step built."""

    bind: Bind
    names: Sequence[str]  # of its packages: the sources' are none to dnf then, of whatever version


class Dnf:
    """The host's, for one step's packages, which it takes from `found`.

    cache: a folder of the host's.
    """

    def __init__(self, step: Step, room: Room, found: rpm.Sources, cache: str, built: Built | None = None) -> None:
        self.name, self.version = driver(step, schema)
        self._room, self._found, self._cache = room, found, cache
        self._binds, self._files = rpm.surroundings(step, found, cache)
        self._binds += [built.bind] if built else []
        self._files.append((_CONFIGURATION, _configuration(step, room, found, built).encode()))

    def do(self, verb: str, packages: Sequence[str], more: Sequence[Bind] = ()) -> None:
        """With packages by their names, or at their paths in what `more` binds."""
        argv, binds = self._command([verb, *packages]), [*self._binds, *more]
        if packages:
            what = f"{self.name} {verb}"
            self._room.outside(argv, binds=binds, files=self._files, env=rpm.ENV, what=what, alarms=_ALARMS)

    def vouch(self) -> None:
        """For what `at` names: dnf takes keys from its sources, and of a locked step has none."""
        rpm.vouch(self._room, self._found, self._binds, self._files)

    def installed(self) -> dict[str, str]:
        return rpm.installed(self._room, self._cache, self._binds, self._files)

    def archives(self, packages: Mapping[str, str]) -> dict[str, Archive]:
        """Where it had them from."""
        return rpm.archives(self._found, self._room.arch, packages, partial(_lists, self._cache))

    def newer(self) -> dict[str, str]:
        """NAME.ARCH -> version of what it would upgrade."""
        ask = ["-q", "repoquery", "--upgrades", "--latest-limit=1", "--queryformat", "%{name}.%{arch} %{evr}\n"]
        argv = ["/bin/sh", "-c", f'"$@" >{rpm.CACHE}/said', "sh", *self._command(ask)]
        self._room.outside(argv, binds=self._binds, files=self._files, env=rpm.ENV, what=f"{self.name} repoquery")
        said = taken(self._cache, "said").decode(errors="replace")
        return dict(line.split(" ", 1) for line in said.splitlines() if " " in line)

    def _command(self, words: Sequence[str]) -> list[str]:
        return command(self.name, self._found.release, self._room.arch, words)


def run(step: Step, room: Room) -> dict[str, Any]:
    sources = rpm.sources(step, room)
    dnf = Dnf(step, room, sources, room.cache(f"dnf-{sources.digest}"))
    program = f"{dnf.name} {dnf.version}"
    room.say(f"{program}: {' '.join(step.texts('packages'))} from {sources.all[-1].mirror}")
    before = dnf.installed()
    if step.lock:
        with shelf(step, room) as shelves:
            dnf.vouch()
            dnf.do("install", at(os.listdir(shelves.archives)), [shelves.bind])
    else:
        dnf.do("install", step.texts("packages"))
    packages = inventory.added(before, dnf.installed())
    archives = step.archives if step.lock else dnf.archives(packages)
    rpm.name_sources(room, sources, "etc/yum.repos.d")
    rpm.tidy(room, RUBBISH)
    made = {"driver": program, **sources.record(), "packages": packages}
    return {**made, "archives": inventory.recorded(archives, packages)}


def newer(step: Step, room: Room) -> dict[str, str]:
    return Dnf(step, room, rpm.sources(step, room), room.cache("dnf-newer")).newer()


def at(files: Iterable[str]) -> list[str]:
    """Where the archives of a lock are, for dnf."""
    return sorted(f"{LOCKED}/{file}" for file in files)


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


def _configuration(step: Step, room: Room, sources: rpm.Sources, built: Built | None) -> str:
    """dnf.conf(5). Debian's dnf would go on without a source that it cannot reach."""
    bundle = outfit(room.caller).bundle if step.network else ""
    listed = () if step.lock else sources.all
    less = [f"excludepkgs={','.join(built.names)}"] if built else []
    proxies = {name.lower(): value for name, value in room.caller.items() if name.lower().endswith("s_proxy")}
    lines = [
        "[main]", "reposdir=/nonexistent", "plugins=0", "best=1", "skip_if_unavailable=0", "keepcache=1",
        "metadata_expire=0", "retries=3", f"install_weak_deps={int(step.is_on('recommends'))}", "tsflags=",
        *([f"sslcacert={bundle}"] if bundle else []),
        *([f"proxy={proxies['https_proxy']}"] if proxies.get("https_proxy") and step.network else []),
        f"localpkg_gpgcheck={int(all(source.key for source in sources.all))}",
        *(line for source in listed for line in (*rpm.section(source, rpm.key_path(source)), *less)),
        *(_section(built) if built else []),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _section(built: Built) -> list[str]:
    """Unsigned, as it is the step's own."""
    return ["[built]", "name=built", f"baseurl=file://{built.bind.target}", "enabled=1", "gpgcheck=0"]
