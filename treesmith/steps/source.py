"""Where a kind's packages come from and whose signatures are good, by the options that every such kind has: `mirror`
(`index`, `source`), `keyring` and `trust`.
"""

import os

from treesmith.archive.read import read
from treesmith.errors import Error
from treesmith.steps.inputs import host_path
from treesmith.steps.room import Room
from treesmith.steps.step import Step


def url(step: Step) -> str:
    """Of `mirror`, which is given; of a folder of the host, file:///PATH."""
    given = step.text("mirror")
    if "://" in given:
        return given
    return "file://" + (given if given.startswith("/") else host_path(step, "mirror"))


def local_path(mirror: str) -> str:
    """The absolute host path of a mirror that is a folder, else ""."""
    scheme, _, path = mirror.partition("://")
    return path.rstrip("/") if scheme in ("file", "copy") else ""


def folder(step: Step, option: str) -> str:
    """The absolute path of the host's folder that `option` names; "" for a URL, nothing, or where a lock stands
    for it. Error: there is none.
    """
    given = step.text(option)
    if step.lock or not given or ("://" in given and not given.startswith("file://")):
        return ""
    path = given.removeprefix("file://")
    path = path if path.startswith("/") else host_path(step, option, path)
    if not os.path.isdir(path):
        raise step.error(f"no folder {path}", option)
    return path


def keyring(step: Step, usual: str = "", package: str = "") -> str:
    """The host's path of `keyring`, or of the usual one, which `package` brings. Error: there is none."""
    given = step.text("keyring")
    if not (given or usual):
        raise step.error(f"{step.kind} needs a keyring", "mirror", hint="keyring = FILE, or trust = true")
    path = (given if given.startswith("/") else host_path(step, "keyring")) if given else usual
    if not os.path.isfile(path):
        raise step.error(f"no keyring {path}", "keyring", hint="" if given else f"install {package}, or name a keyring")
    if not os.path.getsize(path):  # which would pass for that of a trusted source
        raise step.error(f"no key is in {path}", "keyring")
    return path


def keys(step: Step) -> bytes:
    """What is in `keyring`; b"" of a source that the recipe trusts."""
    if step.is_on("trust"):
        return b""
    with open(keyring(step), "rb") as file:
        return file.read()


def kept_keys(step: Step, room: Room, path: str) -> bytes:
    """What an earlier step kept at `path` of the tree. Error: nothing, and the recipe does not trust the source."""
    with room.root() as root:
        found = read(root, path)
    if not found and not step.is_on("trust"):
        raise Error(f"the tree has no {path}", "so nothing says whose signatures are good", "trust = true")
    return found
