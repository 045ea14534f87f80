"""make: a program from its source, configured, made and installed by the tree's own tools.

The source lies in a folder of its own outside the tree, so that the tree has only what is installed. With `package`
checkinstall in the tree makes a Debian package of that, so that dpkg knows whose the files are.
"""

import os
import re
import shutil
from typing import Any, NamedTuple

from treesmith import inventory
from treesmith.archive.unpack import unpack
from treesmith.errors import Error
from treesmith.sandbox.sandbox import Bind
from treesmith.steps import lay
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
        "package": Option("bool", "as a Debian package, by the tree's checkinstall: dpkg owns the files", False),
    },
)

_HERE = f"{PASSING}/source"
_ENDINGS = re.compile(r"\.(tar|tgz|tbz2?|txz)(\.\w+)?$")
_VERSIONED = re.compile(r"(?P<name>.+?)[-_]v?(?P<version>\d[\w.+~]*)$", re.ASCII)
_CHECKINSTALL = [
    "checkinstall", "--type=debian", "--default", "--install=yes", "--fstrans=no", "--backup=no", "--nodoc",
    "--strip=no", "--stripso=no", "--gzman=no", "--addso=no", "--pkgrelease=1", "--pakdir=..",
]  # fmt: skip


class Name(NamedTuple):
    """Of a package, as deb-control(5) allows it."""

    name: str
    version: str


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
    if step.is_on("package") and not room.ask(["/bin/sh", "-c", "command -v checkinstall || :"]):
        raise Error(
            "the tree has no checkinstall, which makes the package",
            hint='a step before this one: apt = ["checkinstall"]; or package = false',
        )
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
    binds = [Bind(f"{own}/source", _HERE)]
    where = f"{_HERE}/{top}".rstrip("/")

    def inside(*argv: str, what: str) -> None:
        room.inside(argv, env=env, binds=binds, chdir=where, what=what)

    if os.path.isfile(f"{own}/source/{top}/configure"):
        inside("./configure", *step.texts("configure"), what="configure")
    elif step.texts("configure"):
        raise Error(f"{step.text('source')} has no configure", "and the step has arguments for one")
    inside("make", *step.texts("targets"), what=" ".join(("make", *step.texts("targets"))))
    install = ("make", *step.texts("install"))
    if not step.is_on("package"):
        inside(*install, what=" ".join(install))
        return {}
    with room.root() as root:
        before = inventory.debian(root)
    name = named(os.path.basename(step.text("source").rstrip("/")))
    words = [*_CHECKINSTALL, f"--pkgname={name.name}", f"--pkgversion={name.version}", *install]
    inside(*words, what=f"checkinstall {' '.join(install)}")
    with room.root() as root:
        packages = inventory.added(before, inventory.debian(root))
    if not packages:
        raise Error(f"checkinstall did not install {name.name}", "though it ended with status 0; its log says why")
    return {"packages": packages}


def _top(folder: str) -> str:
    """The one folder that archives of sources hold, or ""."""
    found = os.listdir(folder)
    only = found[0] if len(found) == 1 else ""
    return only if only and os.path.isdir(f"{folder}/{only}") and not os.path.islink(f"{folder}/{only}") else ""


def named(source: str) -> Name:
    """hello-2.12.tar.gz -> hello, 2.12; without a version it is 0."""
    stem = _ENDINGS.sub("", source)
    found = _VERSIONED.fullmatch(stem)
    name, version = (found["name"], found["version"]) if found else (stem, "0")
    name = re.sub(r"[^a-z0-9.+-]", "-", name.lower()).lstrip(".+-")
    return Name(name if len(name) > 1 else f"source-{name}", version.replace("_", "."))
