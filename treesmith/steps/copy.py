"""copy: a file, or what a folder holds, from the recipe's folder into the tree.

Links are copied as links. Times are those of the copying: the source's are in no key. Owners are the tree's own.
"""

import os
import stat
from typing import Any

from treesmith.archive.layer import Layer, Meta
from treesmith.sandbox.user import look_up
from treesmith.steps.inputs import Inputs, Setting, entries, file_facts, host_path
from treesmith.steps.room import Room
from treesmith.steps.schema import Option, Schema
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
    },
)


def inputs(step: Step, setting: Setting) -> Inputs:
    source = host_path(step, "from")
    for _, path in entries(source):
        kind = stat.S_IFMT(os.lstat(path).st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            raise step.error(f"{path} is neither a file, a folder nor a link", "from")
    return Inputs(file_facts(source, f"file {step.text('from').rstrip('/')}"), pinned=True)


def run(step: Step, room: Room) -> dict[str, Any]:
    source = host_path(step, "from")
    mode = int(step.text("mode"), 8) if step.text("mode") else None
    count = 0
    with room.root() as root, Layer(root) as layer:
        owner = look_up(root, step.text("owner"))
        to = step.text("to").rstrip("/")
        if not os.path.isdir(source) and layer.is_folder(to):
            to = f"{to}/{os.path.basename(step.text('from'))}"
        for name, path in entries(source):
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
