"""What runs in a container, frozen to disk: TREE/checkpoint/, made whole by one rename, gone when it runs again.

state.json is {"version", "pipes", "owner", "external", "stop", "command", "inside", "files"}: pipes and external are
what its stdio and its mounts are called in CRIU's images, owner the id inside of whom the pipes belong to, files the
SHA-256 of each. As long nobody else writes to the tree: see `store.frozen`.
"""

import os

import treesmith
from treesmith.errors import BusyError, Error
from treesmith.launch import containers
from treesmith.launch.disk import criu, images
from treesmith.launch.disk.restore import restore
from treesmith.linux.file import syncfs
from treesmith.linux.mountinfo import unescaped
from treesmith.linux.remove import remove_tree
from treesmith.sandbox.standstill import Standstill
from treesmith.store import records
from treesmith.store.records import CHECKPOINT, CHECKPOINTING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from treesmith.sandbox.process import Process
    from treesmith.sandbox.sandbox import Sandbox
    from treesmith.spec import Spec
    from treesmith.store.store import Store

VERSION = 1
_STATE = "state.json"


def checkpoint(store: "Store", record: "dict[str, Any]") -> None:
    """Write all that runs in a container to disk, beside its tree, and end it. On return the tree is free.

    Killed meanwhile, it runs on; killed when all is written, it ends. Error: why it cannot be.
    """
    os.close(containers.hold(record))
    home = f"{store.path}/trees/{record['id']}"
    if why := _hindrance(record, home):
        raise Error(f"{record['name']} cannot be frozen to disk", why)
    criu.check()
    making = f"{home}/{CHECKPOINTING}"
    with containers.Watch(record) as watch:
        with Standstill(record["id"], record["cgroup"], unless=f"{home}/{CHECKPOINT}") as still:
            if still.hold < 0:
                raise BusyError(f"{record['name']} is frozen", hint=f"treesmith thaw {record['name']}")
            if why := _odd(record):
                raise Error(f"{record['name']} cannot be frozen to disk", why)
            remove_tree(making)
            try:
                _write(record, making, still.hold)
                still.check()
                os.rename(making, f"{home}/{CHECKPOINT}")
                records.sync_folder(home)
            finally:
                remove_tree(making)
        watch.ended(block=True)


def _hindrance(record: "dict[str, Any]", home: str) -> str:
    if treesmith.ROOTLESS:
        return "that takes root"
    if not record["cgroup"]:
        return "this machine lets nobody make a cgroup for it"
    if not os.path.exists(home):
        return "it runs on a throw-away copy, of which nothing is kept"
    return str(record["inside"]["bound"])


def _odd(record: "dict[str, Any]") -> str:
    """Why what runs in it cannot be restored, though CRIU would write it."""
    parents = {}
    for folder, _, _ in os.walk(record["cgroup"]):
        with open(f"{folder}/cgroup.procs") as file:
            for pid in map(int, file.read().split()):
                with open(f"/proc/{pid}/stat", errors="replace") as stat:
                    parents[pid] = int(stat.read().rpartition(")")[2].split()[1])
    for pid, parent in parents.items():
        if pid != record["pid"] and parent not in parents:
            return f"process {pid} has entered it (treesmith enter)"
        if pid != record["pid"] and os.readlink(f"/proc/{pid}/exe").startswith("/memfd:"):
            return f"process {pid} executes a program in memory"
    return ""


def _write(record: "dict[str, Any]", folder: str, hold: int) -> None:
    """hold: CRIU holds it up, too. Killed in the middle of its work, it would leave processes that cannot run on."""
    os.umask(0o022)  # it reads all of it again as root of a container
    os.mkdir(folder)
    pid = record["pid"]
    external = _external(pid)
    pipes = [os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)]
    with open(f"/proc/{pid}/uid_map") as file:
        owner = os.stat(f"/proc/{pid}/fd/0").st_uid - int(file.read().split()[1])
    criu.run(
        f"{record['name']} could not be frozen to disk",
        "dump", "--tree", str(pid), "--images-dir", folder, "--freeze-cgroup", record["cgroup"], "--leave-running",
        *criu.KEPT, *(f"--external=mnt[{path}]:{path}" for path in external),
        hold=hold,
    )  # fmt: skip
    with open(f"/proc/{pid}/exe", "rb") as running, open(f"{folder}/{images.NAME}", "xb") as kept:
        kept.write(running.read())
    for name, change in (("mm-1.img", images.exe), ("files.img", images.with_exe)):
        with open(f"{folder}/{name}", "rb+") as image:
            changed = change(image.read())
            image.seek(0)
            image.write(changed)
    state = {
        "version": VERSION, "pipes": pipes, "owner": owner, "external": external, "stop": record["stop"],
        "command": record["command"], "inside": record["inside"], "files": _digests(folder),
    }  # fmt: skip
    records.write_file(f"{folder}/{_STATE}", records.encode(state) + "\n", durable=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs(fd)  # what it has written into the tree, too
    finally:
        os.close(fd)


def _external(pid: int) -> "list[str]":
    """Where all is mounted that we make anew: everything but the root, and the tmpfs that it may have written to."""
    found = []
    with open(f"/proc/{pid}/mountinfo") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            root, place = left.split()[3:5]
            if place != "/" and (right.split()[0] != "tmpfs" or root != "/"):
                found.append(unescaped(place))
    return found


def _digests(folder: str) -> "dict[str, str]":
    """Of all that does not change."""
    import hashlib

    found = {}
    for name in sorted(os.listdir(folder)):
        if name != _STATE and not name.startswith(images.USERNS):
            with open(f"{folder}/{name}", "rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


class Frozen:
    """What is frozen in the tree at `home`, to be started instead of a command."""

    __slots__ = ("_home", "_state")

    def __init__(self, home: str, title: str) -> None:
        self._home = home
        self._state = _read(f"{home}/{CHECKPOINT}", title)
        criu.check()

    def shape(self, spec: "Spec") -> None:
        """As it was launched."""
        inside = self._state["inside"]
        spec.command, spec.stop_signal, spec.tty = tuple(self._state["command"]), self._state["stop"], False
        spec.env, spec.user, spec.chdir, spec.hostname = (inside[key] for key in ("env", "user", "chdir", "hostname"))
        spec.capabilities, spec.tmpfs = frozenset(inside["capabilities"]), tuple(map(tuple, inside["tmpfs"]))
        spec.filtered, spec.read_only = inside["filtered"], inside["read_only"]
        spec.etckeeper = spec.etckeeper and not spec.read_only

    def start(self, sandbox: "Sandbox", stdio: "tuple[int, int, int] | None") -> "Process":
        """As `sandbox.start`. It is frozen to disk no more as soon as it can run."""
        assert stdio
        try:
            return restore(sandbox, stdio, f"{self._home}/{CHECKPOINT}", self._state, self._consume)
        finally:
            remove_tree(f"{self._home}/{CHECKPOINTING}")

    def _consume(self) -> None:
        os.rename(f"{self._home}/{CHECKPOINT}", f"{self._home}/{CHECKPOINTING}")
        records.sync_folder(self._home)


def _read(folder: str, title: str) -> "dict[str, Any]":
    """The state of what is frozen in a tree. Error: nothing is, or it is not what was written."""
    if not os.path.isdir(folder):
        raise Error(f"nothing of {title} is frozen to disk", hint="treesmith checkpoint NAME")
    why = ""
    try:
        state: dict[str, Any] = records.parse(records.read_file(f"{folder}/{_STATE}"))
        if state["version"] != VERSION:
            why = f"it has version {state['version']}, and this treesmith knows {VERSION}"
        elif state["files"] != _digests(folder):
            why = "its files are not those that were written"
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = str(error)
    if why:
        raise Error(f"what is frozen of {title} is damaged", why, f"give it up: rm -r {folder}")
    return state
