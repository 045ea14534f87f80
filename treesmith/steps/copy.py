"""copy: a file, or what a folder holds, from the recipe's folder into the tree.

Links are copied as links. What `ignore` leaves out is not there, for the key neither. Times are those of the copying:
the source's are in no key. Owners are the tree's own.
"""

import os
import stat
from typing import Any

from treesmith.archive.layer import Layer, Meta
from treesmith.sandbox.user import look_up
from treesmith.steps.ignored import Ignored
from treesmith.steps.inputs import Inputs, Setting, described, entries, host_path
from treesmith.steps.room import Room
from treesmith.steps.schema import Option, Schema, Value
from treesmith.steps.step import Step

schema = Schema(
    kind="copy",
    help="a file, or a folder's contents, into the tree",
    bootstraps="also",
    options={
        "from": Option("file", "what to copy; of a folder its contents go into `to`", required=True),
        "to": Option("path", "where to, in the tree", required=True),
        "owner": Option("string", "USER or USER:GROUP, of the tree or numbers; else root"),
        "mode": Option("mode", "of the files; else as in the source"),
        "ignore": Option("file", "a .dockerignore of the recipe's folder: what it says is left out"),
    },
)


def inputs(step: Step, setting: Setting) -> Inputs:
    facts: dict[str, Value] = {}
    label = f"file {step.text('from').rstrip('/')}"
    for name, path in _chosen(step):
        kind = stat.S_IFMT(os.lstat(path).st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            raise step.error(f"{path} is neither a file, a folder nor a link", "from")
        facts[f"{label}/{name}" if name else label] = described(path)
    return Inputs(facts, pinned=True)


def _chosen(step: Step) -> list[tuple[str, str]]:
    """As `entries` of the source, without what is ignored. Error: it all is."""
    found = list(entries(host_path(step, "from")))
    if not step.text("ignore"):
        return found
    try:
        with open(host_path(step, "ignore"), encoding="utf-8", errors="surrogateescape") as file:
            ignored = Ignored(file.read())
    except (OSError, ValueError) as error:
        raise step.error(f"{step.text('ignore')} cannot be used", "ignore", str(error)) from None
    top = os.path.normpath(step.text("from"))
    named = {os.path.normpath(os.path.join(top, name)): (name, path) for name, path in found}
    kept = ignored.kept(path for path in named if path != ".") | ({"."} & set(named))
    if top not in kept:
        raise step.error(f"{step.text('from')} is left out by {step.text('ignore')}", "from")
    return [entry for path, entry in named.items() if path in kept]


def loose(step: Step) -> str:
    return ""  # what it reads is in its inputs


def run(step: Step, room: Room) -> dict[str, Any]:
    source = host_path(step, "from")
    mode = int(step.text("mode"), 8) if step.text("mode") else None
    count = 0
    with room.root() as root, Layer(root) as layer:
        owner = look_up(root, step.text("owner"))
        to = step.text("to").rstrip("/")
        if not os.path.isdir(source) and layer.is_folder(to):
            to = f"{to}/{os.path.basename(step.text('from'))}"
        for name, path in _chosen(step):
            target = f"{to}/{name}" if name else to
            status = os.lstat(path)
            meta = Meta(stat.S_IMODE(status.st_mode), owner.uid, owner.gid)
            count += 1
            if stat.S_ISLNK(status.st_mode):
                layer.link(target, os.readlink(path), meta)
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    layer.file(target, file, meta if mode is None else meta._replace(mode=mode))
            elif not layer.is_folder(target):  # a folder that is there stays as whoever made it wants it
                layer.folder(target, meta)
    return {"entries": count}
