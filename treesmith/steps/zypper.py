"""zypper: openSUSE, or one of its family, into an empty root; later, packages into it. By the host's zypper, outside
the tree.

A source's list of contents must be signed by a key of the keyring, and packages be what the list says, except of a
source that the recipe trusts; `rpm` says where they come from. Keys are in the tree's rpm database: zypper's own way to
get them would believe the mirror.
"""

from typing import Any

from treesmith import inventory
from treesmith.linux.call import machine
from treesmith.steps import rpm
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
_RUBBISH = ("var/cache/zypp", "var/log/zypp", "var/log/zypper.log", "run/zypp.pid")


def inputs(step: Step, setting: Setting) -> Inputs:
    return rpm.inputs(step, setting, schema)


def run(step: Step, room: Room) -> dict[str, Any]:
    name, version = driver(step, schema)
    sources = rpm.sources(step, room)
    cache = room.cache(f"zypper-{sources.digest}")
    binds, files = rpm.surroundings(step, sources, cache)
    files.append((_CONFIGURATION, _configuration(room.arch).encode()))
    for source in sources.all:
        lines = [*rpm.section(source, rpm.key_path(source)), "autorefresh=1", "keeppackages=1", ""]
        files.append((f"{_REPOSITORIES}/{source.name}.repo", "\n".join(lines).encode()))
    room.say(f"{name} {version}: {' '.join(step.texts('packages'))} from {sources.all[-1].mirror}")
    before = rpm.installed(room, cache, binds, files)
    for source in sources.all:
        if source.key:
            argv = ["rpm", "--root", "/target", "--import", rpm.key_path(source)]
            room.outside(argv, binds=binds, files=files, env=rpm.ENV, what="rpm --import")
    argv = [*_RUN, "--root=/target", "--non-interactive", f"--cache-dir={rpm.CACHE}/zypp"]
    argv += [f"--reposd-dir={_REPOSITORIES}", *([f"--releasever={sources.release}"] if sources.release else [])]
    argv += [*_INSTALL, "--recommends" if step.is_on("recommends") else "--no-recommends", *step.texts("packages")]
    if step.texts("packages"):
        env = {**rpm.ENV, "ZYPP_CONF": _CONFIGURATION}
        room.outside(argv, binds=binds, files=files, env=env, what="zypper install")
    after = rpm.installed(room, cache, binds, files)
    rpm.tidy(room, sources, "etc/zypp/repos.d", _RUBBISH)
    return {"driver": f"{name} {version}", **sources.record(), "packages": inventory.added(before, after)}


def _configuration(arch: str) -> str:
    """zypp.conf: without a delay a mirror's list is ten minutes old before it is looked at again."""
    lines = ["[main]", "repo.refresh.delay = 0", *([f"arch = {arch}"] if arch != machine else [])]
    return "\n".join(lines) + "\n"
