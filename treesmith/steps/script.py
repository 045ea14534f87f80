"""script: a file of the recipe's folder, run in the tree by the interpreter that its first line names."""

import os
from typing import Any

from treesmith.steps.inputs import Inputs, Setting, digest_of, file_facts, host_path
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Option, Schema
from treesmith.steps.step import Step

schema = Schema(
    kind="script",
    help="a script of the recipe's folder, run in the tree",
    main="file",
    options={
        "file": Option("file", "the script; without a #! line /bin/sh -e runs it", required=True),
        "args": Option("strings", "its arguments"),
        "user": Option("string", "who runs it, by the tree's own /etc/passwd"),
        "chdir": Option("path", "its working directory"),
    },
)


def inputs(step: Step, setting: Setting) -> Inputs:
    path = host_path(step, "file")
    if not os.path.isfile(path):
        raise step.error(f"{step.text('file')} is not a file", "file")
    return Inputs(file_facts(path, f"file {step.text('file')}"), pinned=not step.network)


def loose(step: Step) -> str:
    return "it has a network, and nothing says what it fetches" if step.network else ""


def run(step: Step, room: Room) -> dict[str, Any]:
    path = host_path(step, "file")
    with open(path, "rb") as file:
        content = file.read()
    inside = f"{PASSING}/{os.path.basename(path)}"
    room.inside(
        [*interpreter(content), inside, *step.texts("args")],
        files=[(inside, content)],
        user=step.text("user"),
        chdir=step.text("chdir") or "/",
        what=step.text("file"),
    )
    return {"script": digest_of(path)}


def interpreter(content: bytes) -> list[str]:
    """What the #! line says, cut as the kernel does (execve(2)): the program, and all that follows as one argument."""
    first = content.partition(b"\n")[0]
    if not first.startswith(b"#!"):
        return ["/bin/sh", "-e"]
    return os.fsdecode(first[2:]).strip(" \t\r").split(None, 1) or ["/bin/sh", "-e"]
