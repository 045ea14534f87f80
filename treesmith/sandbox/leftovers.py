"""What a sandbox whose holder was killed has left: processes for a moment, a cgroup, a range of ids."""

import os
import select

from treesmith import ids
from treesmith.errors import EndedError
from treesmith.sandbox import cgroup


def clear(tree: str = "") -> int:
    """Kill and remove it all; on return nothing runs there. Call before touching a tree that such a one used.

    tree: an id whose exclusive lock the caller has. Whoever still seems to run something there is dying (its locks go
    one after the other), and is waited for. Returns how many sandboxes were cleared.
    """
    found = ids.abandoned(wait=lambda note: bool(tree) and _Note(note).tree == tree)
    base = cgroup.base()
    for held, text in found:
        note = _Note(text)
        if note.cgroup and not base:
            held.leave()  # to somebody whose mounts show it
            continue
        folder = base + note.cgroup if note.cgroup else ""
        if folder:
            cgroup.kill(folder)
        if note.pid:
            _await(note.pid, note.began)
        if folder:
            cgroup.remove(folder)
        for limits in note.folders:
            cgroup.remove(limits)
        held.close()
    return len(found)


def running(tree: str) -> "str | None":
    """The cgroup's folder of the sandbox that runs in a tree, whose lock somebody holds; "" if it has none. None: no
    sandbox does. EndedError: it is being made, or has just ended."""
    found = [note for note in map(_Note, ids.notes()) if note.tree == tree]
    if not found:
        return None
    folders = [cgroup.base() + note.cgroup for note in found if note.cgroup and cgroup.base()]
    present = [folder for folder in folders if cgroup.is_populated(folder)]
    if folders and not present:
        raise EndedError("what ran has just ended", hint="try again")
    return present[0] if present else ""


class _Note:
    """What `start` left: cgroup, tree, first process, and the folders of limits that are not in the cgroup."""

    def __init__(self, text: str) -> None:
        self.cgroup, self.tree, first, *rest = *text.split("\n"), "", "", ""
        self.folders = [folder for folder in rest if folder]
        pid, _, self.began = first.partition(" ")
        self.pid = int(pid) if pid.isdecimal() else 0


def _await(pid: int, began: str) -> None:
    """Until the first process is gone: it was told to die when its parent did, and takes all others along.

    `began` tells it from a stranger who has the number now.
    """
    from treesmith.linux import process

    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if process.began(pid) == began:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            poll.poll()
    except (FileNotFoundError, ProcessLookupError):
        pass
    finally:
        os.close(pidfd)
