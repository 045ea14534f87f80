"""make: a program from its source, configured, made and installed by the tree's own tools.

The source lies in a folder of its own outside the tree, so that the tree has only what is installed. With `package`
it is installed as a package, so that the tree's package manager knows whose the files are: see `packing`.
"""

import os
import shutil
from collections.abc import Sequence
from typing import Any

from treesmith.archive.unpack import unpack
from treesmith.errors import Error
from treesmith.sandbox.sandbox import Bind
from treesmith.steps import lay, packing
from treesmith.steps.inputs import Inputs, Setting, file_facts, host_path, verified
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Option, Schema
from treesmith.steps.step import Step

schema = Schema(
    kind="make",
    help="a program from its source, by the tree's own make",
    main="source",
    options={
        "source": Option("file", "a folder, or an archive with one: plain, gzip, bzip2 or xz", required=True),
        "sha256": Option("string", "what the archive's SHA-256 must be"),
        "configure": Option("strings", "arguments of the source's configure, which runs if it is there", ()),
        "targets": Option("strings", "what make makes, else what it does by itself", ()),
        "install": Option("strings", "the targets that install", ("install",)),
        "package": Option("bool", "as a package of dpkg's or rpm's, by the tree's checkinstall, else its fpm", False),
    },
)

_HERE = f"{PASSING}/source"


def inputs(step: Step, setting: Setting) -> Inputs:
    path = host_path(step, "source")
    if not (os.path.isfile(path) or os.path.isdir(path)):
        raise step.error(f"{step.text('source')} is neither a folder nor a file", "source")
    if os.path.isdir(path) and step.text("sha256"):
        raise step.error("sha256 is an archive's, and the source is a folder", "sha256")
    lay.check(step, "source", path)
    if not step.texts("install"):
        raise step.error("no target installs", "install", hint='install = ["install"]')
    return Inputs(file_facts(path, f"file {step.text('source').rstrip('/')}"), pinned=not step.network)


def loose(step: Step) -> str:
    return "it has a network, and nothing says what it fetches" if step.network else ""


def run(step: Step, room: Room) -> dict[str, Any]:
    if step.is_on("package"):
        packing.program(room)  # it should not be found out when all is made
    own = os.path.join(room.cache(f"make-{step.recipe_digest}"), "step")
    shutil.rmtree(own, ignore_errors=True)
    os.makedirs(f"{own}/source")
    try:
        digest = _lay(step, f"{own}/source")
        return {**digest, **_make(step, room, own)}
    finally:
        shutil.rmtree(own)


def _lay(step: Step, folder: str) -> dict[str, str]:
    """The source into `folder`."""
    path = host_path(step, "source")
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.path.isfile(path):
            digest = verified(step, "source")
            with open(path, "rb") as file:
                unpack(file, root)
            return {"sha256": digest}
        lay.lay(path, root)
        return {}
    finally:
        os.close(root)


def _make(step: Step, room: Room, own: str) -> dict[str, Any]:
    top = _top(f"{own}/source")
    env = {"MAKEFLAGS": f"-j{len(os.sched_getaffinity(0))}"}
    source = Bind(f"{own}/source", _HERE)
    where = f"{_HERE}/{top}".rstrip("/")

    def inside(*argv: str, what: str, binds: Sequence[Bind] = ()) -> None:
        room.inside(argv, env=env, binds=[source, *binds], chdir=where, what=what)

    if os.path.isfile(f"{own}/source/{top}/configure"):
        inside("./configure", *step.texts("configure"), what="configure")
    elif step.texts("configure"):
        raise Error(f"{step.text('source')} has no configure", "and the step has arguments for one")
    inside("make", *step.texts("targets"), what=" ".join(("make", *step.texts("targets"))))
    install = ("make", *step.texts("install"))
    if step.is_on("package"):
        return packing.pack(room, inside, os.path.basename(step.text("source").rstrip("/")), own, install)
    inside(*install, what=" ".join(install))
    return {}


def _top(folder: str) -> str:
    """The one folder that archives of sources hold, or ""."""
    found = os.listdir(folder)
    only = found[0] if len(found) == 1 else ""
    return only if only and os.path.isdir(f"{folder}/{only}") and not os.path.islink(f"{folder}/{only}") else ""
