"""guix: Guix packages with all that they need, into a tree or an empty root; they are its default profile.

The host's guix makes a pack of them (guix pack), as the caller and outside the sandbox: it asks its daemon, which
builds and fetches by its own rules. That is why packages are names only, of the caller's channels: what else a guix
takes is a program. treesmith lays the pack down. A launch finds it by /var/guix/profiles/default; what an earlier
step's profile had is in /gnu/store still.
"""

import os
import re
from collections.abc import Sequence
from typing import Any

from treesmith import inventory
from treesmith.archive.layer import Layer, Meta
from treesmith.archive.unpack import unpack
from treesmith.errors import Error
from treesmith.linux.file import open_inside
from treesmith.steps.inputs import Inputs, Setting
from treesmith.steps.nix import FOLDERS, packages
from treesmith.steps.programs import driver
from treesmith.steps.room import Room
from treesmith.steps.schema import Option, Schema
from treesmith.steps.step import Step

schema = Schema(
    kind="guix",
    help="Guix packages and what they need, as a profile, by the host's guix",
    main="packages",
    network=True,
    drivers=("guix",),
    bootstraps="also",
    options={"packages": Option("strings", "names, NAME@VERSION or NAME:OUTPUT", required=True)},
)

_PROFILE = "/var/guix/profiles/default"
_PATH = f'export PATH="{_PROFILE}/bin:$PATH"\n'
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*(@[A-Za-z0-9+._-]+)?(:[a-z0-9-]+)?", re.ASCII)
_MADE = re.compile(r"/gnu/store/[0-9a-z]{32}-[A-Za-z0-9+._-]+\.tar", re.ASCII)
# The kernel's word -> Guix's, where that is another one.
_SYSTEMS = {"i386": "i686", "armv7l": "armhf", "ppc64le": "powerpc64le"}


def inputs(step: Step, setting: Setting) -> Inputs:
    for package in step.texts("packages"):
        if not _NAME.fullmatch(package):
            raise step.error(f"{package!r} is no package's name", "packages")
    if not step.texts("packages"):
        raise step.error("guix needs packages", "packages")
    return Inputs({"driver": " ".join(driver(step, schema))}, pinned=False)


def run(step: Step, room: Room) -> dict[str, Any]:
    if not step.network:
        raise Error("guix cannot be without a network", "its daemon has the host's")
    name, version = driver(step, schema)
    room.say(f"{name} {version}: {' '.join(step.texts('packages'))}")
    path = made(room.host(command(name, room.arch, step.texts("packages"))))
    with room.root() as root:
        before = packages(_stored(root))
        try:
            with open(path, "rb") as file:
                unpack(file, root)
        except OSError as error:
            raise Error(f"{path} cannot be read", str(error.strerror)) from None
        with Layer(root) as layer:
            for folder, mode in FOLDERS.items():
                if not layer.is_folder(folder):
                    layer.folder(folder, Meta(mode))
            layer.text("etc/profile.d/treesmith-guix.sh", _PATH)
        found = packages(_stored(root))
    return {"driver": f"{name} {version}", "packages": inventory.added(before, found)}


def command(name: str, arch: str, names: Sequence[str]) -> list[str]:
    """guix(1) pack."""
    argv = [name, "pack", "--format=tarball", "--compression=none", f"--system={_SYSTEMS.get(arch, arch)}-linux"]
    return [*argv, f"--symlink={_PROFILE}=", "--", *names]


def made(said: bytes) -> str:
    """The path of a pack, which is the last thing that its maker says. Error: it says something else."""
    line = (said.decode(errors="replace").split() or [""])[-1]
    if not _MADE.fullmatch(line):
        raise Error("guix pack says nothing of a pack", line[:200])
    return line


def _stored(root: int) -> str:
    try:
        folder = open_inside(root, "gnu/store", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return ""
    try:
        return "\n".join(f"/gnu/store/{name}" for name in sorted(os.listdir(folder)))
    finally:
        os.close(folder)
