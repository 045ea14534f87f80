"""etckeeper: /etc is a git repository from here on, by the tree's own etckeeper and git.

This step and each one after it ends with a commit of what it changed in /etc, which `build` makes, and so does each
launch of a writable tree, which `launch` makes. What etckeeper commits by itself during a step, as apt has it do, is
part of the step's one commit.
"""

from typing import Any

from treesmith import etckeeper
from treesmith.errors import Error
from treesmith.steps.inputs import Inputs, Setting
from treesmith.steps.room import Room
from treesmith.steps.schema import Schema
from treesmith.steps.step import Step

schema = Schema(kind="etckeeper", help="from here on /etc is a git repository, by the tree's etckeeper", options={})


def inputs(step: Step, setting: Setting) -> Inputs:
    return Inputs({}, pinned=True)


def loose(step: Step) -> str:
    return ""


def run(step: Step, room: Room) -> dict[str, Any]:
    found = room.ask(["/bin/sh", "-c", "for name in etckeeper git; do command -v $name >/dev/null || echo $name; done"])
    if missing := found.split():
        packages = ", ".join(f'"{name}"' for name in missing)
        raise Error(
            f"the tree has no {' and no '.join(missing)}",
            hint=f"a step before this one: apt = [{packages}], or as its distribution has it",
        )
    room.inside(etckeeper.init_argv(), what="etckeeper init")
    return {"launch": {"etckeeper": True}}
