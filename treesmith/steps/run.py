"""run: a command in the tree. A string goes to /bin/sh -e, a list is an argv."""

from typing import Any

from treesmith.steps.inputs import Inputs, Setting
from treesmith.steps.room import Room
from treesmith.steps.schema import Option, Schema
from treesmith.steps.step import Step

schema = Schema(
    kind="run",
    help="a command in the tree",
    main="command",
    interpolated=False,
    options={
        "command": Option("command", "a string for /bin/sh -e, or an argv", required=True),
        "user": Option("string", "who runs it, by the tree's own /etc/passwd"),
        "chdir": Option("path", "its working directory"),
    },
)

_LONGEST = 60  # characters of a command in a message


def inputs(step: Step, setting: Setting) -> Inputs:
    return Inputs({}, pinned=not step.network)


def loose(step: Step) -> str:
    return "it has a network, and nothing says what it fetches" if step.network else ""


def run(step: Step, room: Room) -> dict[str, Any]:
    command = step.options["command"]
    argv = command if isinstance(command, tuple) else ("/bin/sh", "-e", "-c", str(command))
    what = _named(" ".join(command) if isinstance(command, tuple) else str(command))
    room.inside(argv, user=step.text("user"), chdir=step.text("chdir") or "/", what=what)
    return {}


def _named(command: str) -> str:
    """A command as a message names it: by its first line, if that is not long."""
    line, _, more = command.strip().partition("\n")
    return line if line and len(line) <= _LONGEST and not more else f"{line[:_LONGEST]} …"
