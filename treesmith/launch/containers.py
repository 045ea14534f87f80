"""Records of what runs: /run/treesmith/containers/ID, where ID is the tree's, or that of the throw-away copy.

{"version": 1, "id", "name", "tree", "store", "pid", "cgroup", "started", "command"}; pid is that of the first process,
tree the name or @id that was launched, started in seconds since 1970. The supervisor holds the file's lock: a record
whose lock is free is what a killed one left.
"""

import os
import time

from treesmith.errors import BusyError
from treesmith.sandbox import leftovers
from treesmith.store import locks, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from treesmith.sandbox.process import Process

VERSION = 1
RUN = "/run/treesmith/containers"


def register(id: str, name: str, tree: str, store: str, process: "Process", command: "tuple[str, ...]") -> locks.Lock:
    """Record a container. Its lock is the supervisor's; `remove` it when everything inside is gone.

    BusyError: another one in this store has the name.
    """
    os.makedirs(RUN, 0o700, exist_ok=True)
    if any(one["name"] == name and one["store"] == store for one in running()):
        raise BusyError(f"a container is called {name} already", hint="--name ANOTHER")
    record = {
        "version": VERSION, "id": id, "name": name, "tree": tree, "store": store, "pid": process.pid,
        "cgroup": process.cgroup, "started": int(time.time()), "command": command,
    }  # fmt: skip
    lock = locks.attempt(f"{RUN}/{id}", exclusive=True)
    if not lock:
        raise BusyError(f"{name} is being started by somebody else")
    try:
        records.write_file(lock.path, records.encode(record) + "\n", durable=False)
    except BaseException:
        lock.remove()
        raise
    return lock


def running() -> "list[dict[str, Any]]":
    """The records of all containers, whatever their store. Reads only; what cannot be read is left out."""
    found = []
    for path in _paths():
        try:
            lock = locks.attempt(path, exclusive=False, create=False, patience=0)
            if lock:
                lock.close()
                continue
            record = records.parse(records.read_file(path))
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and record.get("version") == VERSION:
            found.append(record)
    return found


def recover() -> None:
    """Kill and remove what killed supervisors left: processes, cgroups, ids, records. For verbs that write."""
    leftovers.clear()
    for path in _paths():
        try:
            lock = locks.attempt(path, exclusive=True, create=False, patience=0)
        except FileNotFoundError:
            continue
        if lock:
            lock.remove()


def _paths() -> "list[str]":
    try:
        return [f"{RUN}/{name}" for name in os.listdir(RUN)]
    except FileNotFoundError:
        return []
