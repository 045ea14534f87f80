"""zypper: openSUSE, or one of its family, into an empty root; later, packages into it. By the host's zypper, outside
the tree.

A source's list of contents must be signed by a key of the keyring, and packages be what the list says, except of a
source that the recipe trusts; `rpm` says where they come from. Keys are in the tree's rpm database: zypper's own way to
get them would believe the mirror.
"""

import glob
import io
import os
import shutil
from collections.abc import Sequence
from functools import partial
from typing import Any

from treesmith import inventory
from treesmith.archive.layer import Layer, Meta
from treesmith.archive.read import read
from treesmith.linux.call import machine
from treesmith.steps import rpm
from treesmith.steps.archives import LOCKED, shelf, taken, unlocked
from treesmith.steps.inputs import Inputs, Setting
from treesmith.steps.programs import driver
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Schema
from treesmith.steps.step import Step

schema = Schema(
    kind="zypper",
    help="packages of openSUSE's family, into an empty root or a tree",
    main="packages",
    network=True,
    drivers=("zypper",),
    bootstraps="also",
    options=rpm.OPTIONS,
)

_REPOSITORIES = f"{PASSING}/repos.d"
_CONFIGURATION = f"{PASSING}/zypp.conf"
# A file that two packages have is only found if all are there before the first is installed.
_INSTALL = ("install", "--download-in-advance", "--auto-agree-with-licenses")
# Ended well, but the machine, or zypper, ought to start anew: 102, 103.
_RUN = ["/bin/sh", "-c", 'zypper "$@"; status=$?; case $status in 102|103) exit 0;; esac; exit $status', "zypper"]
_AUTOMATIC = "var/lib/zypp/AutoInstalled"
_RUBBISH = ("var/cache/zypp", "var/log/zypp", "var/log/zypper.log", "var/lib/zypp/AnonymousUniqueId", "run/zypp.pid")


def inputs(step: Step, setting: Setting) -> Inputs:
    return rpm.inputs(step, setting, schema)


def loose(step: Step) -> str:
    return unlocked(step)


def run(step: Step, room: Room) -> dict[str, Any]:
    name, version = driver(step, schema)
    sources = rpm.sources(step, room)
    cache = room.cache(f"zypper-{sources.digest}")
    binds, files = rpm.surroundings(step, sources, cache)
    files.append((_CONFIGURATION, _configuration(room.arch).encode()))
    files += _repositories(step, sources)
    room.say(f"{name} {version}: {' '.join(step.texts('packages'))} from {sources.all[-1].mirror}")
    before = rpm.installed(room, cache, binds, files)
    rpm.vouch(room, sources, binds, files)
    env = {**rpm.ENV, "ZYPP_CONF": _CONFIGURATION}
    recommends = "--recommends" if step.is_on("recommends") else "--no-recommends"
    words = [*_INSTALL, recommends, *step.texts("packages")]
    if step.lock:
        shutil.rmtree(os.path.join(cache, "locked"), ignore_errors=True)
        with shelf(step, room) as shelves:
            if os.listdir(shelves.archives):
                argv, there = _command(sources, "locked", words), [*binds, shelves.bind]
                room.outside(argv, binds=there, files=files, env=env, what="zypper install")
    elif step.texts("packages"):
        room.outside(_command(sources, "zypp", words), binds=binds, files=files, env=env, what="zypper install")
    packages = inventory.added(before, rpm.installed(room, cache, binds, files))
    archives = step.archives if step.lock else rpm.archives(sources, room.arch, packages, partial(_lists, cache))
    rpm.name_sources(room, sources, "etc/zypp/repos.d")
    rpm.tidy(room, _RUBBISH)
    if step.lock:
        _undate(room)
    made = {"driver": f"{name} {version}", **sources.record(), "packages": packages}
    return {**made, "archives": inventory.recorded(archives, packages)}


def _undate(room: Room) -> None:
    """zypper begins its list of what it installed for others' sake with the time of day."""
    with room.root() as root, Layer(root) as layer:
        if said := read(root, _AUTOMATIC):
            lines = [line for line in said.splitlines(True) if not line.startswith(b"# AutoInstalled generated")]
            layer.file(_AUTOMATIC, io.BytesIO(b"".join(lines)), Meta(0o644))


def newer(step: Step, room: Room) -> dict[str, str]:
    driver(step, schema)
    sources = rpm.sources(step, room)
    cache = room.cache("zypper-newer")
    binds, files = rpm.surroundings(step, sources, cache)
    files += [(_CONFIGURATION, _configuration(room.arch).encode()), *_repositories(step, sources)]
    rpm.vouch(room, sources, binds, files)
    argv = ["/bin/sh", "-c", f'"$@" >{rpm.CACHE}/said', "sh", *_command(sources, "zypp", ["--quiet", "list-updates"])]
    env = {**rpm.ENV, "ZYPP_CONF": _CONFIGURATION}
    room.outside(argv, binds=binds, files=files, env=env, what="zypper list-updates")
    rows = ([cell.strip() for cell in line.split("|")] for line in taken(cache, "said").decode().splitlines())
    return {f"{row[2]}.{row[5]}": row[4] for row in rows if len(row) == 6 and row[0] == "v"}


def _command(sources: rpm.Sources, cache: str, words: Sequence[str]) -> list[str]:
    argv = [*_RUN, "--root=/target", "--non-interactive", f"--cache-dir={rpm.CACHE}/{cache}"]
    argv += [f"--reposd-dir={_REPOSITORIES}", *([f"--releasever={sources.release}"] if sources.release else [])]
    return [*argv, *words]


def _repositories(step: Step, sources: rpm.Sources) -> list[tuple[str, bytes]]:
    """The sources; of a locked step a folder with what the lock names, whose digests are verified."""
    more = ["autorefresh=1", "keeppackages=1", ""]
    sections = {source.name: [*rpm.section(source, rpm.key_path(source)), *more] for source in sources.all}
    if step.lock:
        lines = ["[locked]", "name=locked", f"baseurl=dir:{LOCKED}", "type=plaindir", "enabled=1", "gpgcheck=0", ""]
        sections = {"locked": lines}
    return [(f"{_REPOSITORIES}/{name}.repo", "\n".join(lines).encode()) for name, lines in sections.items()]


def _lists(cache: str, source: rpm.Source) -> list[str]:
    """The lists of contents that zypper keeps of a source."""
    return glob.glob(f"{glob.escape(cache)}/zypp/raw/{source.name}/repodata/*primary.xml*")


def _configuration(arch: str) -> str:
    """zypp.conf: without a delay a mirror's list is ten minutes old before it is looked at again."""
    lines = ["[main]", "repo.refresh.delay = 0", *([f"arch = {arch}"] if arch != machine else [])]
    return "\n".join(lines) + "\n"
