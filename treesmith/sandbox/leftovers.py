"""What a sandbox whose holder was killed has left: processes for a moment, a cgroup, a range of ids."""

import os
import select

from treesmith import ids
from treesmith.sandbox import cgroup


def clear(run: str = ids.RUN) -> int:
    """Kill and remove it all; on return nothing runs there. Call before touching a tree that such a one used.

    Returns how many sandboxes were cleared.
    """
    found = ids.abandoned(run)
    for held, note in found:
        path, _, rest = note.partition("\n")
        if path:
            cgroup.kill(path)
        process = rest.split()
        if len(process) == 2:
            _await(int(process[0]), process[1])
        if path:
            cgroup.remove(path)
        held.close()
    return len(found)


def _await(pid: int, began: str) -> None:
    """Until the first process is gone: it was told to die when its parent did, and takes all others along.

    `began`, in ticks since boot, tells it from a stranger who has the number now: proc_pid_stat(5).
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with open(f"/proc/{pid}/stat") as file:
            if file.read().rpartition(")")[2].split()[19] == began:
                poll = select.poll()
                poll.register(pidfd, select.POLLIN)
                poll.poll()
    except (FileNotFoundError, ProcessLookupError):
        pass
    finally:
        os.close(pidfd)
