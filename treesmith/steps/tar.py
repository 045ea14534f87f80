"""tar: an archive of the recipe's folder, unpacked into the tree. What would leave the tree is refused."""

import os
from typing import Any

from treesmith.archive.unpack import unpack
from treesmith.steps.inputs import Inputs, Setting, file_facts, host_path, verified
from treesmith.steps.room import Room
from treesmith.steps.schema import Option, Schema
from treesmith.steps.step import Step

schema = Schema(
    kind="tar",
    help="an archive, unpacked into the tree",
    bootstraps="also",
    options={
        "file": Option("file", "the archive: plain, gzip, bzip2 or xz", required=True),
        "to": Option("path", "the folder it is unpacked into", default="/"),
        "strip": Option("int", "leading parts of the names to leave out", default=0),
        "sha256": Option("string", "what the archive's SHA-256 must be"),
    },
)


def inputs(step: Step, setting: Setting) -> Inputs:
    path = host_path(step, "file")
    if not os.path.isfile(path):
        raise step.error(f"{step.text('file')} is not a file", "file")
    if step.integer("strip") < 0:
        raise step.error("strip cannot be negative", "strip")
    return Inputs(file_facts(path, f"file {step.text('file')}"), pinned=True)


def loose(step: Step) -> str:
    return ""  # what it reads is in its inputs


def run(step: Step, room: Room) -> dict[str, Any]:
    digest = verified(step, "file")
    with room.root() as root, open(host_path(step, "file"), "rb") as file:
        count = unpack(file, root, step.text("to"), step.integer("strip"))
    return {"sha256": digest, "entries": count}
