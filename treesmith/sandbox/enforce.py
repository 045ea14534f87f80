"""Limits, in whichever hierarchy has their controller: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/.

cgroup2's are set on the sandbox's own cgroup, above which they must be enabled. A controller that is still in a
hierarchy of its own (v1) is joined there, with a cgroup of the same name, and only if its limit is asked for.
A limit that cannot be set is an Error, never left out.
"""

import errno
import os

import treesmith
from treesmith.errors import Error
from treesmith.sandbox import cgroup
from treesmith.sandbox.limits import Limits, members

_PERIOD = 100_000  # us
_OLD_NAMES = {"io": "blkio"}


class Place:
    """Where a sandbox's cgroups are to be. Nothing is made yet."""

    __slots__ = ("folders", "limits", "path")

    def __init__(self, path: str, folders: "dict[str, str]", limits: Limits) -> None:
        self.path = path  # in cgroup2, from its base
        self.folders = folders  # controller -> folder, of those that are not in cgroup2
        self.limits = limits

    def make(self) -> None:
        """The folders, with their limits, and those of the cgroup that is there already."""
        for controller, flag, value in self.limits.named():
            folder = self.folders.get(controller)
            try:
                if folder:
                    os.mkdir(folder)
                    _old(controller, folder, value)
                else:
                    _new(controller, cgroup.base() + self.path, value)
            except OSError as error:
                raise _refused(flag, f"{error.filename}: {error.strerror}") from error

    def join(self, pid: int) -> None:
        """With all that it will start. cgroup2's it is born in."""
        for folder in set(self.folders.values()):
            _write(f"{folder}/cgroup.procs", str(pid))


def place(slot: int, limits: Limits) -> Place:
    """For the sandbox with this range of ids. Error: a controller is nowhere to be had."""
    name = f"{cgroup.PREFIX}{slot}"
    folders, wanted, offered = {}, [], _offered()
    for controller, flag, _ in limits.named():
        if controller in offered:
            wanted.append(controller)
            continue
        folder = _old_folder(_OLD_NAMES.get(controller, controller))
        if not folder:
            raise _refused(flag, f"this machine's cgroups have no {controller} controller")
        folders[controller] = f"{folder}/{name}"
    return Place(f"{_enabled(wanted)}/{name}" if wanted else cgroup.place(slot), folders, limits)


def _refused(flag: str, reason: str) -> Error:
    hint = "leave it out, to go without"
    if treesmith.ROOTLESS:
        hint += "; or in a cgroup of your own: systemd-run --user --scope -p Delegate=yes treesmith launch …"
    return Error(f"{flag} cannot be enforced", reason, hint)


def _offered() -> "list[str]":
    base = cgroup.base()
    return _read(f"{base}/cgroup.controllers").split() if base else []


def _enabled(controllers: "list[str]") -> str:
    """A cgroup whose children have these: our own, or, where no systemd keeps order, the topmost."""
    own = cgroup.own()
    candidates = [] if own is None else [own]
    if own != "" and not os.path.isdir("/run/systemd/system"):
        candidates.append("")
    reason = "our cgroup is not below what is mounted here"
    for parent in candidates:
        folder = cgroup.base() + parent
        missing = set(controllers) - set(_read(f"{folder}/cgroup.subtree_control").split())
        try:
            if missing and parent and cgroup.is_delegated(parent):
                cgroup.make_room(parent)
            # Not left to the kernel, which says EBUSY only to some: others would make it a threaded domain, and its
            # children unusable.
            if missing and parent and _read(f"{folder}/cgroup.procs"):
                reason = f"there are processes in the cgroup {parent}, and it may have no limited ones below it"
                continue
            for controller in sorted(missing):
                _write(f"{folder}/cgroup.subtree_control", f"+{controller}")
            return parent
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}"
    raise Error(f"no cgroup with {', '.join(controllers)} can be made", reason)


def _new(controller: str, folder: str, value: "int | float | str") -> None:
    if controller == "memory":
        _write(f"{folder}/memory.max", str(value))
        _write(f"{folder}/memory.swap.max", "0", optional=True)
    elif controller == "cpu":
        _write(f"{folder}/cpu.max", f"{int(float(value) * _PERIOD)} {_PERIOD}")
    elif controller == "cpuset":
        _write(f"{folder}/cpuset.cpus", str(value))
        _check_processors(str(value), _read(f"{folder}/cpuset.cpus.effective"))
    elif controller == "pids":
        _write(f"{folder}/pids.max", str(value))
    elif not _write(f"{folder}/io.weight", f"default {value}", optional=True):
        _write(f"{folder}/io.bfq.weight", str(value))


def _old(controller: str, folder: str, value: "int | float | str") -> None:
    if controller == "memory":
        _write(f"{folder}/memory.limit_in_bytes", str(value))
        _write(f"{folder}/memory.memsw.limit_in_bytes", str(value), optional=True)
    elif controller == "cpu":
        _write(f"{folder}/cpu.cfs_period_us", str(_PERIOD))
        _write(f"{folder}/cpu.cfs_quota_us", str(int(float(value) * _PERIOD)))
    elif controller == "cpuset":
        _write(f"{folder}/cpuset.mems", _read(f"{os.path.dirname(folder)}/cpuset.mems").strip())
        _write(f"{folder}/cpuset.cpus", str(value))
        _check_processors(str(value), _read(f"{folder}/cpuset.effective_cpus"))
    elif controller == "pids":
        _write(f"{folder}/pids.max", str(value))
    elif not _write(f"{folder}/blkio.weight", str(max(10, int(value))), optional=True):
        _write(f"{folder}/blkio.bfq.weight", str(value))


def _check_processors(wanted: str, got: str) -> None:
    if members(wanted) != members(got.strip()):
        raise OSError(errno.EINVAL, f"it would get {got.strip()}", "cpuset.cpus")


def _old_folder(controller: str) -> str:
    """Our own cgroup in a v1 hierarchy, as mounted here; "" if it is not."""
    with open("/proc/self/cgroup") as file:
        rows = [line.split(":", 2) for line in file.read().splitlines()]
    own = next((path for _, names, path in rows if controller in names.split(",")), "")
    with open("/proc/self/mountinfo") as file:
        for line in file.read().splitlines():
            left, _, right = line.partition(" - ")
            kind, _, options = right.split(" ", 2)
            root, point = left.split(" ")[3:5]
            below = "/" if root == "/" else f"{root}/"
            if kind == "cgroup" and own and controller in options.split(",") and f"{own}/".startswith(below):
                folder = f"{point}/{own[len(root) :].strip('/')}".rstrip("/")
                if os.path.exists(f"{folder}/cgroup.procs"):  # else something lies over it
                    return folder
    return ""


def joined(pid: int) -> "list[str]":
    """The folders that a limited sandbox's first process, or any inside, was made to join."""
    with open(f"/proc/{pid}/cgroup") as file:
        rows = [line.split(":", 2) for line in file.read().splitlines()]
    found = []
    for _, names, path in rows:
        name = os.path.basename(path)
        if names and not names.startswith("name=") and name.startswith(cgroup.PREFIX):
            folder = _old_folder(names.split(",")[0])
            if folder:
                found.append(f"{folder}/{name}")
    return found


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _write(path: str, text: str, optional: bool = False) -> bool:
    """False: `optional`, and there is no such file."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        if optional:
            return False
        raise
    try:
        os.write(fd, text.encode())
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(fd)
    return True
