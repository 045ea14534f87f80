"""What a Makefile installs, as a package that the tree's manager owns: by the tree's checkinstall, else its fpm.

checkinstall watches the installation. fpm packs what is installed below DESTDIR, which the Makefile has to know; for
dpkg, or for rpm where the tree has that, in the database that its host's dnf or zypper keeps.
"""

import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from treesmith import inventory
from treesmith.archive.layer import Layer
from treesmith.archive.read import read
from treesmith.errors import Error
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.room import PASSING, Room
from treesmith.steps.rpm import DATABASE

_STAGED = f"{PASSING}/staged"
_PACKED = f"{PASSING}/packed"
_ENDINGS = re.compile(r"\.(tar|tgz|tbz2?|txz)(\.\w+)?$")
_VERSIONED = re.compile(r"(?P<name>.+?)[-_]v?(?P<version>\d[\w.+~]*)$", re.ASCII)
_CHECKINSTALL = [
    "checkinstall", "--type=debian", "--default", "--install=yes", "--fstrans=no", "--backup=no", "--nodoc",
    "--strip=no", "--stripso=no", "--gzman=no", "--addso=no", "--pkgrelease=1", "--pakdir=..",
]  # fmt: skip
_ASKED = r"%{NAME}.%{ARCH} %{EVR}\n"

Inside = Callable[..., None]  # (*argv, what=, binds=): in the source's folder


class Name(NamedTuple):
    """Of a package, as deb-control(5) allows it."""

    name: str
    version: str


def program(room: Room) -> str:
    """checkinstall or fpm. Error: the tree has neither, or nobody to own files."""
    with room.root() as root:
        dpkg, rpm = bool(inventory.debian(root)), bool(read(root, f"{DATABASE}/rpmdb.sqlite"))
    if not (dpkg or rpm):
        raise Error("the tree has no package manager to own files", "neither dpkg's nor rpm's database is in it")
    for name in ("checkinstall", "fpm") if dpkg else ("fpm",):
        if room.ask(["/bin/sh", "-c", f"command -v {name} || :"]).strip():
            return name
    if dpkg:
        raise Error(
            "the tree has neither checkinstall nor fpm, which make packages",
            hint='a step before this one: apt = ["checkinstall"], or gem = ["fpm"]; or package = false',
        )
    raise Error(
        "the tree has no fpm, which makes the package",
        hint='steps before this one: dnf = ["rubygems", "rpm-build"], and gem = ["fpm"]; or package = false',
    )


def pack(room: Room, inside: Inside, source: str, own: str, install: tuple[str, ...]) -> dict[str, Any]:
    """Let `install` (make and its targets) install, as a package. Returns what it is, for the record.

    source: the file's or folder's name, which says the package's. own: a folder of the host's.
    """
    name = named(source)
    with room.root() as root:
        before = inventory.debian(root)
    if program(room) == "checkinstall":
        words = [*_CHECKINSTALL, f"--pkgname={name.name}", f"--pkgversion={name.version}", *install]
        inside(*words, what=f"checkinstall {' '.join(install)}")
    else:
        rpm = _by_fpm(room, inside, name, own, install, "deb" if before else "rpm")
        if not before:
            return {"type": "rpm", "packages": rpm}
    with room.root() as root:
        packages = inventory.added(before, inventory.debian(root))
    if not packages:
        raise Error(f"{name.name} was not installed", "though all ended with status 0; the log says why")
    return {"packages": packages}


def _by_fpm(room: Room, inside: Inside, name: Name, own: str, install: tuple[str, ...], type: str) -> dict[str, str]:
    """Returns what rpm says of it; of a .deb nothing."""
    staged, packed = os.path.join(own, "staged"), os.path.join(own, "packed")
    for folder in (staged, packed):
        os.mkdir(folder)
    binds = [Bind(staged, _STAGED), Bind(packed, _PACKED)]
    inside(*install, f"DESTDIR={_STAGED}", what=" ".join(install), binds=binds)
    if not os.listdir(staged):
        what = f"{' '.join(install)} installed nothing below DESTDIR, from where fpm packs"
        raise Error(what, hint="checkinstall does without; or package = false")
    argv = ["fpm", "--input-type", "dir", "--output-type", type, "--name", name.name, "--version", name.version]
    argv += ["--iteration", "1", "--chdir", _STAGED, "--package", _PACKED, "."]
    inside(*argv, what="fpm", binds=binds)
    made = os.listdir(packed)
    if len(made) != 1:
        raise Error("fpm made no package", "though it ended with status 0; the log says why")
    file = f"{_PACKED}/{made[0]}"
    if type == "deb":
        inside("dpkg", "--install", file, what="dpkg", binds=binds)
        return {}
    rpm = ["rpm", "--dbpath", f"/{DATABASE}"]
    inside(*rpm, "--upgrade", file, what="rpm", binds=binds)
    with room.root() as root, Layer(root) as layer:
        for end in ("-shm", "-wal"):  # whoever opens it makes them; empty by now
            layer.remove(f"{DATABASE}/rpmdb.sqlite{end}")
    said = room.ask([*rpm, "--query", "--queryformat", _ASKED, "--package", file], binds=binds)
    return dict(line.split(" ", 1) for line in said.splitlines() if " " in line)


def named(source: str) -> Name:
    """hello-2.12.tar.gz -> hello, 2.12; without a version it is 0."""
    stem = _ENDINGS.sub("", source)
    found = _VERSIONED.fullmatch(stem)
    name, version = (found["name"], found["version"]) if found else (stem, "0")
    name = re.sub(r"[^a-z0-9.+-]", "-", name.lower()).lstrip(".+-")
    return Name(name if len(name) > 1 else f"source-{name}", version.replace("_", "."))
