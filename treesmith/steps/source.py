"""Where a kind's packages come from and whose signatures are good, by the options that every such kind has: `mirror`
(`index`, `source`), `keyring` and `trust`.
"""

import hashlib
import os
from collections.abc import Mapping

from treesmith.archive.read import read
from treesmith.errors import Error
from treesmith.steps.inputs import Setting, host_path
from treesmith.steps.room import Room
from treesmith.steps.schema import Value
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


def digest(key: bytes) -> str:
    """The SHA-256 of a key, in hex; "" of none, whose source is trusted."""
    return hashlib.sha256(key).hexdigest() if key else ""


def kept(room: Room, path: str, wanted: str) -> bytes:
    """The key at `path` of the tree, where an earlier step kept it. wanted: its digest. Error: it is another."""
    if not wanted:
        return b""
    with room.root() as root:
        found = read(root, path)
    if digest(found) != wanted:
        raise Error(f"{path} in the tree is not the key that was named", "a step before this one changed it")
    return found


def name_of(number: int) -> str:
    """What the files in the tree of its source are called; number: from 0, in the order of the steps."""
    return f"treesmith-{number + 1}" if number else "treesmith"


def check(step: Step, *options: str) -> None:
    """Error: one of these is given without the mirror it is about."""
    for option in options:
        if step.options.get(option) and not step.text("mirror"):
            raise step.error(f"{option} is of a mirror, and none is named here", option)


def is_named(setting: Setting) -> bool:
    """Whether a step below names a mirror."""
    return any("mirror.used" in below.facts for below in setting.below)


def is_pinned(own: Mapping[str, Value], setting: Setting) -> bool:
    """Whether all mirrors named so far are folders, whose lists of contents are in the keys."""
    named = [facts for facts in (*(below.facts for below in setting.below), own) if "mirror.used" in facts]
    return bool(named) and all("mirror.lists" in facts for facts in named)
