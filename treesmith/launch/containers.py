"""Records of what runs: /run/treesmith/containers/ID, where ID is the tree's, or that of the throw-away copy.

{"version": 1, "id", "name", "tree", "store", "command", "started", "stop", "pid", "began", "cgroup", "inside"}; tree is
the name or @id that was launched, started in seconds since 1970, stop the signal that asks it to end, pid that of the
first process (0 while it is being made), began its start in ticks since boot, inside what `enter` starts with; ready
whether it has started up; supervisor that one's pid. At the end comes "status", the exit status. On a private
network there are "address" and "ports" (as they may be typed), too.

The supervisor holds the file's lock until nothing of the container is left, the tree's lock included: a record whose
lock is free is what a killed supervisor left. Names are given out one after the other, under the folder's own lock.
"""

import fcntl
import os
import time

import treesmith
from treesmith.errors import BusyError, Error, NotFoundError
from treesmith.linux.file import private_folder
from treesmith.linux.process import began
from treesmith.names import nearest
from treesmith.sandbox import leftovers
from treesmith.sandbox.sandbox import SYS_ADMIN
from treesmith.store import locks, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from treesmith.sandbox.process import Process
    from treesmith.sandbox.sandbox import Sandbox

VERSION = 1
RUN = f"{treesmith.RUN}/containers"
FROZEN = f"{treesmith.RUN}/frozen"
NETWORKS = f"{treesmith.RUN}/network"


class Record:
    """The supervisor's own."""

    __slots__ = ("_lock", "fields")

    def __init__(self, lock: locks.Lock, fields: "dict[str, Any]") -> None:
        self._lock = lock
        self.fields = fields
        self._write()

    def begin(self, process: "Process", sandbox: "Sandbox") -> None:
        """It runs; and is ready, if nobody is there to say when it will be."""
        self.fields.update(pid=process.pid, began=process.began, cgroup=process.cgroup, ready=process.notify < 0)
        self.fields["folders"] = process.folders
        self.fields["inside"] = {
            "env": sandbox.env, "user": sandbox.user, "chdir": sandbox.chdir,
            "capabilities": sorted(sandbox.capabilities), "filtered": sandbox.filtered,
            "nests": sandbox.nests, "no_new_privs": sandbox.no_new_privs, "no_suid": sandbox.no_suid,
            "network": sandbox.network, "private_users": sandbox.private_users, "chroot": sandbox.chroot,
            "hostname": sandbox.hostname, "read_only": sandbox.read_only, "tmpfs": sandbox.tmpfs,
            "bound": _bound(sandbox),
        }  # fmt: skip
        self._write()

    def ready(self) -> None:
        if not self.fields["ready"]:
            self.fields["ready"] = True
            self._write()

    def again(self) -> None:
        """It is made anew."""
        self.fields.update(pid=0, ready=False)
        self._write()

    def end(self, status: int) -> None:
        """For whoever waits; `remove` it when everything is let go."""
        self.fields["status"] = status
        self._write()

    def remove(self) -> None:
        self._lock.remove()

    def _write(self) -> None:
        data = (records.encode(self.fields) + "\n").encode()
        os.pwrite(self._lock.fileno(), data, 0)
        os.ftruncate(self._lock.fileno(), len(data))


def _bound(sandbox: "Sandbox") -> str:
    """Why it cannot be frozen to disk: what ties it to this moment of the host's; "" if nothing does."""
    if sandbox.boot:
        return "it is a whole system"
    if sandbox.tty:
        return "it has a terminal (launched with --detach or --pipe, it has none)"
    if sandbox.network != "none":
        return f"it is on a network: {sandbox.network}"
    if sandbox.binds:
        return "folders of the host are bound into it"
    if sandbox.notify:
        return "it was launched with --notify"
    if SYS_ADMIN in sandbox.capabilities:
        return "it may mount (SYS_ADMIN)"
    if not sandbox.private_users:
        return "its ids are the host's"
    return "it has limits" if sandbox.limits else ""


_ENDING = 1000  # ms: the root is ours, and who had it before lets go of its record last


def reserve(id: str, name: str, tree: str, store: str, command: "tuple[str, ...]", stop: int) -> Record:
    """Take the name, before anything is started. BusyError: another container of this store has it."""
    private_folder(RUN)
    turn = os.open(RUN, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if any(one["name"] == name and one["id"] != id for one in running(store)):
            raise BusyError(f"a container is called {name} already", hint="--name ANOTHER")
        lock = locks.attempt(f"{RUN}/{id}", exclusive=True, patience=_ENDING)
        if not lock:
            raise BusyError(f"{name} is being started by somebody else")
        fields = {
            "version": VERSION, "id": id, "name": name, "tree": tree, "store": store, "command": command,
            "started": int(time.time()), "stop": stop, "pid": 0, "began": "", "cgroup": "",
            "ready": False, "supervisor": os.getpid(),
        }  # fmt: skip
        try:
            return Record(lock, fields)
        except BaseException:
            lock.remove()
            raise
    finally:
        os.close(turn)


def running(store: str) -> "list[dict[str, Any]]":
    """The records of all containers of the store at this path, the oldest first. Reads only."""
    found = []
    for path in _paths():
        try:
            lock = locks.attempt(path, exclusive=False, create=False, patience=0)
        except OSError:
            continue
        if lock:
            lock.close()
            continue
        record = _read(path)
        if record and record["store"] == store:
            found.append(record)
    return sorted(found, key=lambda record: (record["started"], record["name"]))


def _read(path: str) -> "dict[str, Any] | None":
    """None: it is gone, or cannot be read. Its supervisor may be writing it at this moment: look again."""
    for _ in range(20):
        try:
            record = records.parse(records.read_file(path))
        except ValueError:
            time.sleep(0.001)
            continue
        except OSError:
            return None
        return record if isinstance(record, dict) and record.get("version") == VERSION else None
    return None


def find(store: str, word: str) -> "dict[str, Any]":
    """The record of a running container: by its name, by @ID, or by the tree, if that runs once."""
    present = running(store)
    found = [one for one in present if one["name"] == word]
    if not found and word.startswith("@") and len(word) > 4:
        found = [one for one in present if one["id"].startswith(word[1:])]
    found = found or [one for one in present if one["tree"] == word]
    if not found:
        likely = nearest(word, [one["name"] for one in present])
        raise NotFoundError(f"no container {word} is running", hint=f"did you mean {likely}?" if likely else _LIST)
    if len(found) > 1:
        raise Error(f"{word} runs {len(found)} times", "as " + ", ".join(one["name"] for one in found), "name one")
    return found[0]


_LIST = "what is running: treesmith ps"


def hold(record: "dict[str, Any]") -> int:
    """A pidfd of the container's first process. NotFoundError: it has ended. BusyError: it is not there yet."""
    if not record["pid"]:
        raise BusyError(f"{record['name']} is being started")
    try:
        pidfd = os.pidfd_open(record["pid"])
    except ProcessLookupError:
        raise NotFoundError(f"{record['name']} has ended") from None
    try:
        if began(record["pid"]) == record["began"]:
            return pidfd
    except (FileNotFoundError, ProcessLookupError):
        pass
    os.close(pidfd)
    raise NotFoundError(f"{record['name']} has ended")


class Watch:
    """Sees a container's end, even where nothing but an open file is left of it. `close` it."""

    __slots__ = ("_fd",)

    def __init__(self, record: "dict[str, Any]") -> None:
        """NotFoundError: it has ended already."""
        self._fd = -1
        try:
            self._fd = os.open(f"{RUN}/{record['id']}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise NotFoundError(f"{record['name']} has ended") from None

    def ended(self, block: bool = False) -> bool:
        """Whether its supervisor has let go of it; with `block`, not before it has."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | (0 if block else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        return True

    def status(self) -> "int | None":
        """Its exit status, once it has ended; None: its supervisor was killed."""
        record = records.parse(os.pread(self._fd, 1 << 24, 0).decode())
        status = record.get("status")
        return status if isinstance(status, int) else None

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def recover() -> None:
    """Kill and remove what killed supervisors left: processes, cgroups, ids, links, records. For verbs that write."""
    if os.path.isdir(FROZEN):
        from treesmith.sandbox import standstill

        standstill.recover()
    leftovers.clear()
    if os.path.isdir(NETWORKS):
        from treesmith.launch import network

        network.recover()
    for path in _paths():
        lock = locks.free(path)
        if lock:
            _clear_tree(path)
            lock.remove()


def _clear_tree(path: str) -> None:
    """A dead supervisor's, given by his record: what he made in it to mount at goes when its lock is taken."""
    record = _read(path)
    if record and os.path.lexists(f"{record['store']}/trees/{record['id']}/{records.POINTS}"):
        from treesmith.store import open_store

        try:
            open_store(record["store"]).lock(record["id"], exclusive=True).close()
        except (Error, OSError):
            pass  # whoever has it is told why


def _paths() -> "list[str]":
    try:
        return [f"{RUN}/{name}" for name in os.listdir(RUN)]
    except FileNotFoundError:
        return []
