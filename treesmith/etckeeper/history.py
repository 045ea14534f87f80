"""What the /etc of a tree says of its changes: read by the tree's own git, in a sandbox that cannot write to it."""

import os
from typing import NamedTuple

from treesmith.errors import BusyError, Error
from treesmith.etckeeper import NEEDED
from treesmith.run import run
from treesmith.sandbox.sandbox import PATH, Sandbox
from treesmith.store import Store, Tree

_LOG = f"""{NEEDED}
[ -d .git ] || {{ echo "the tree has no /etc/.git"; exit 1; }}
git --no-pager log --no-color --no-show-signature --format=%H%x1f%at%x1f%an%x1f%s
"""
_MOST = 100_000  # commits
_LONGEST = 1 << 26  # characters of them all
_DIGITS = 11  # of a time
_ENV = {"PATH": PATH, "LC_ALL": "C.UTF-8"}


class Commit(NamedTuple):
    """What it says of itself: none of it is sure."""

    id: str
    created: int  # unix seconds
    author: str
    message: str  # its first line


def parsed(line: str) -> Commit | None:
    """A line of the history; None: it is none."""
    id, *rest = line.split("\x1f", 3)
    if len(rest) != 3 or not rest[0].isascii() or not rest[0].isdecimal() or len(rest[0]) > _DIGITS:
        return None
    return Commit(id, int(rest[0]), rest[1], rest[2])


def log(store: Store, tree: Tree) -> list[Commit]:
    """The history of the tree's /etc, the newest first. Error: it has none. BusyError: it is being changed."""
    found: list[Commit] = []
    lines = length = 0

    def hear(line: str) -> None:
        nonlocal lines, length
        lines, length = lines + 1, length + len(line)
        if lines > _MOST or length > _LONGEST:
            raise Error("it is too long", f"over {_MOST} lines, or {_LONGEST >> 20} million characters")
        if commit := parsed(line):
            found.append(commit)

    try:
        lock = store.lock(tree.id)
    except BusyError as error:
        hint = f"while it runs: treesmith enter {tree.title} -- git -C /etc log"
        raise BusyError(error.brief, error.details, hint) from error
    nothing = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    try:
        view = store.backend.open(tree, "ro")
        try:
            run(Sandbox(view, ("/bin/sh", "-e", "-c", _LOG), env=_ENV, read_only=True), nothing, hear, "git log")
        finally:
            view.close()
    except Error as error:
        raise Error(f"{tree.title}: no history of /etc: {error.brief}", error.details, error.hint) from error
    finally:
        os.close(nothing)
        lock.close()
    return found
