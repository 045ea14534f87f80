"""package: a source package of Debian's or rpm's family, built anew on a throw-away copy of the tree, and installed.

As nobody and without a network. What building it takes never comes into the tree, which gets what was built, and what
that depends on, from its own sources.
"""

import re
from typing import Any, Protocol

from treesmith.steps import rebuild_deb, rebuild_rpm
from treesmith.steps.inputs import Inputs, Setting, digest_of, file_facts, host_path
from treesmith.steps.room import Room
from treesmith.steps.schema import Option, Schema, Value
from treesmith.steps.source import keyring
from treesmith.steps.step import Step

schema = Schema(
    kind="package",
    help="a source package of Debian's or rpm's family, built anew and installed",
    main="source",
    network=True,
    options={
        "source": Option("string", "of the tree's sources, of apt: a name, or name=version, or name/suite"),
        "file": Option("file", "a .dsc with its files beside it, a folder with debian/control, or a .src.rpm"),
        "sha256": Option("string", "what the SHA-256 of the .dsc or .src.rpm must be"),
        "keyring": Option("source", "whose signature it must have: a file in ASCII, for a .dsc also one of gpg"),
        "patches": Option("strings", "of the recipe's folder, for patch -p1, in this order; none for a .src.rpm", ()),
        "packages": Option("strings", "which of those that it makes; else the one that is called as the source is"),
        "profiles": Option("strings", "DEB_BUILD_PROFILES: nocheck, nodoc", ()),
        "options": Option("strings", "DEB_BUILD_OPTIONS: nocheck, nodoc, noopt", ()),
        "suffix": Option("string", "of the version of a source of the tree's sources", "+0treesmith1"),
        "jobs": Option("int", "how many at a time; else one for each processor"),
    },
    one_of=("source", "file"),
)

_NAMED = re.compile(r"[a-z0-9][a-z0-9+.-]+(=[\w.+:~-]+|/[\w.-]+)?", re.ASCII)
_WORD = re.compile(r"[\w.+=~-]+", re.ASCII)
_SUFFIX = re.compile(r"[\w.+~]+", re.ASCII)
_SRPM = ".src.rpm"


class _Family(Protocol):
    """As steps.Kind has them; `inputs` besides what `package` itself says."""

    def inputs(self, step: Step, setting: Setting) -> Inputs: ...
    def loose(self, step: Step) -> str: ...
    def newer(self, step: Step, room: Room) -> dict[str, str]: ...
    def run(self, step: Step, room: Room) -> dict[str, Any]: ...


def inputs(step: Step, setting: Setting) -> Inputs:
    if step.text("source") and not _NAMED.fullmatch(step.text("source")):
        raise step.error(f"{step.text('source')!r} is no source package's name", "source")
    for option in ("profiles", "options"):
        if wrong := next((word for word in step.texts(option) if not _WORD.fullmatch(word)), ""):
            raise step.error(f"{wrong!r} is no word for it", option)
    if "suffix" in step.options and not _SUFFIX.fullmatch(step.text("suffix")):
        raise step.error(f"{step.text('suffix')!r} can be in no version", "suffix")
    if step.integer("jobs") < 0:
        raise step.error("jobs cannot be negative", "jobs")
    facts: dict[str, Value] = {}
    for option in ("sha256", "keyring"):
        if step.text(option) and not step.text("file").endswith((".dsc", _SRPM)):
            raise step.error(f"{option} is of a .dsc or a .src.rpm, and none is named here", option)
    if step.text("keyring"):
        facts["keyring.used"] = digest_of(keyring(step))
    for patch in step.texts("patches"):
        facts |= file_facts(host_path(step, "patches", patch), f"file {patch}")
    own = _family(step).inputs(step, setting)
    return Inputs({**facts, **own.facts}, own.pinned or not step.network)


def _family(step: Step) -> _Family:
    if step.text("file").endswith(_SRPM):
        return rebuild_rpm
    return rebuild_deb


def loose(step: Step) -> str:
    return _family(step).loose(step)


def newer(step: Step, room: Room) -> dict[str, str]:
    return _family(step).newer(step, room)


def run(step: Step, room: Room) -> dict[str, Any]:
    return _family(step).run(step, room)
