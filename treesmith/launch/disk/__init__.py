"""What runs in a container, frozen to disk: TREE/checkpoint/, made whole by one rename, gone when it runs again.

state.json is {"version", "kernel", "pipes", "external", "stop", "command", "inside", "files"}: pipes and external are
what its stdio and its mounts are called in the images, files the SHA-256 of each. The tree waits as long: nobody else
writes to it (see `store.frozen`).
"""

import os

import treesmith
from treesmith.errors import BusyError, Error
from treesmith.launch import containers
from treesmith.launch.disk import criu, images
from treesmith.launch.disk.restore import restore
from treesmith.linux.file import syncfs
from treesmith.linux.remove import remove_tree
from treesmith.sandbox import cgroup
from treesmith.sandbox.standstill import Standstill
from treesmith.store import records
from treesmith.store.frozen import FOLDER, MAKING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from treesmith.sandbox.process import Process
    from treesmith.sandbox.sandbox import Sandbox
    from treesmith.spec import Spec
    from treesmith.store.store import Store

VERSION = 1
_STATE = "state.json"
_SCRIPT = """#!/bin/sh
[ "$CRTOOLS_SCRIPT_ACTION" != post-dump ] || echo 1 >"$CONTAINER/cgroup.freeze"
"""


def checkpoint(store: "Store", record: "dict[str, Any]") -> None:
    """Write all that runs in a container to disk, beside its tree, and end it. On return the tree is free.

    Killed meanwhile, it runs on; killed when all is written, it ends. Error: why it cannot be.
    """
    os.close(containers.hold(record))
    if why := _hindrance(store, record):
        raise Error(f"{record['name']} cannot be frozen to disk", why)
    criu.check()
    home = f"{store.path}/trees/{record['id']}"
    making = f"{home}/{MAKING}"
    with containers.Watch(record) as watch:
        with Standstill(record["id"], record["cgroup"], now=False, unless=f"{home}/{FOLDER}") as still:
            remove_tree(making)
            os.mkdir(making, 0o700)
            try:
                _write(record, making)
                still.check()
                os.rename(making, f"{home}/{FOLDER}")
                records.sync_folder(home)
            except BaseException:
                remove_tree(making)
                raise
        watch.ended(block=True)


def _hindrance(store: "Store", record: "dict[str, Any]") -> str:
    if treesmith.ROOTLESS:
        return "that takes root"
    if not record["cgroup"]:
        return "this machine lets nobody make a cgroup for it"
    if cgroup.is_frozen(record["cgroup"]):
        raise BusyError(f"{record['name']} is frozen", hint=f"treesmith thaw {record['name']}")
    if not os.path.exists(f"{store.path}/trees/{record['id']}"):
        return "it runs on a throw-away copy, of which nothing is kept"
    if record["inside"]["bound"]:
        return str(record["inside"]["bound"])
    if strangers := _entered(record):
        return f"somebody is inside (treesmith enter), with process {strangers[0]}"
    return ""


def _entered(record: "dict[str, Any]") -> "list[int]":
    """Processes that do not descend from the first one."""
    parents = {}
    for folder, _, _ in os.walk(record["cgroup"]):
        with open(f"{folder}/cgroup.procs") as file:
            for pid in map(int, file.read().split()):
                with open(f"/proc/{pid}/stat", errors="replace") as stat:
                    parents[pid] = int(stat.read().rpartition(")")[2].split()[1])
    return [pid for pid, parent in parents.items() if pid != record["pid"] and parent not in parents]


def _write(record: "dict[str, Any]", folder: str) -> None:
    pid = record["pid"]
    external = _external(pid)
    script = f"{folder}/script"
    with open(script, "x") as file:
        file.write(_SCRIPT)
    os.chmod(script, 0o700)
    words = ["dump", "--tree", str(pid), "--images-dir", folder, "--log-file", "dump.log", "-v4", "--leave-running",
             "--manage-cgroups=ignore", "--empty-ns", "net", "--action-script", script]  # fmt: skip
    for path in external:
        words += ["--external", f"mnt[{path}]:{path}"]
    pipes = [os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)]
    said, status = criu.run(tuple(words), f"{folder}/dump.log", CONTAINER=record["cgroup"])
    if status:
        raise criu.failed(f"{record['name']} could not be frozen to disk", said, status)
    cgroup.freeze(record["cgroup"], True)  # the script has; it may take a moment
    os.unlink(script)
    for name, change in (("mm-1.img", images.exe), ("files.img", images.with_exe)):
        with open(f"{folder}/{name}", "rb+") as image:
            changed = change(image.read())
            image.seek(0)
            image.write(changed)
            image.truncate()
    state = {
        "version": VERSION, "kernel": os.uname().release, "pipes": pipes, "external": external,
        "stop": record["stop"], "command": record["command"], "inside": record["inside"], "files": _digests(folder),
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
                found.append(place)
    return found


def _digests(folder: str) -> "dict[str, str]":
    import hashlib

    found = {}
    for name in sorted(os.listdir(folder)):
        if name != _STATE:
            with open(f"{folder}/{name}", "rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


class Frozen:
    """What is frozen in the tree at `home`, to be started instead of a command."""

    __slots__ = ("_home", "_state")

    def __init__(self, home: str, title: str) -> None:
        self._home = home
        self._state = _read(home, title)
        criu.check()

    def shape(self, spec: "Spec") -> None:
        """As it was launched."""
        inside = self._state["inside"]
        spec.command, spec.stop_signal, spec.tty = tuple(self._state["command"]), self._state["stop"], False
        spec.env, spec.user, spec.chdir, spec.hostname = (inside[key] for key in ("env", "user", "chdir", "hostname"))
        spec.capabilities, spec.tmpfs = frozenset(inside["capabilities"]), tuple(map(tuple, inside["tmpfs"]))
        spec.filtered, spec.read_only = inside["filtered"], inside["read_only"]

    def start(self, sandbox: "Sandbox", stdio: "tuple[int, int, int] | None") -> "Process":
        """As `sandbox.start`. It is frozen no more as soon as it is about to run."""
        folder = f"{self._home}/{MAKING}"
        remove_tree(folder)
        os.mkdir(folder)
        os.chmod(folder, 0o755)  # CRIU reads there as root of the container's, too; nobody else comes by in a store
        try:
            for name in os.listdir(f"{self._home}/{FOLDER}"):
                os.link(f"{self._home}/{FOLDER}/{name}", f"{folder}/{name}")
            assert stdio
            return restore(sandbox, stdio, folder, self._state, self._consume)
        finally:
            remove_tree(folder)

    def _consume(self) -> None:
        os.rename(f"{self._home}/{FOLDER}", f"{self._home}/{MAKING}/used")
        records.sync_folder(self._home)


def _read(home: str, title: str) -> "dict[str, Any]":
    """The state of what is frozen in a tree. Error: nothing is, or it is not what was written."""
    folder = f"{home}/{FOLDER}"
    if not os.path.isdir(folder):
        raise Error(f"nothing of {title} is frozen to disk", hint="treesmith checkpoint NAME")
    why = ""
    try:
        state = records.parse(records.read_file(f"{folder}/{_STATE}"))
        if state["version"] != VERSION:
            why = f"it has version {state['version']}, and this treesmith knows {VERSION}"
        elif state["files"] != _digests(folder):
            why = "its files are not those that were written"
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = str(error)
    if why:
        raise Error(f"what is frozen of {title} is damaged", why, f"give it up: rm -r {folder}")
    return state  # type: ignore[no-any-return]
