"""A cgroup2 leaf for a sandbox: Documentation/admin-guide/cgroup-v2.rst, "Delegation"."""

import errno
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# What /sys/kernel/cgroup/delegate lists; the limits are not among it.
_DELEGATED = ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads")
_BASES = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
PREFIX = "treesmith-"
SUPERVISOR = "supervisor"


def base() -> str:
    """Where cgroup2 is mounted: there in a pure or a hybrid hierarchy; "" if it is not."""
    return next((path for path in _BASES if os.path.exists(f"{path}/cgroup.procs")), "")


def own() -> "str | None":
    """Ours, from `base`, as one below which others are made: "" is the topmost. None: it is not below what is mounted.

    A supervisor that had to make room for limits stands in a leaf of its own (see `enforce`): then the one above.
    """
    with open("/proc/self/cgroup") as file:
        path = next((line[3:].rstrip("/") for line in file.read().splitlines() if line.startswith("0::")), "")
    return None if path.startswith("/..") else path.removesuffix(f"/{SUPERVISOR}")


def is_delegated(path: str) -> bool:
    """Has systemd given this cgroup away, to be divided by whoever is in it?"""
    for name in ("trusted.delegate", "user.delegate"):
        try:
            if os.getxattr(base() + path, name) == b"1":
                return True
        except OSError:
            continue
    return False


def make_room(path: str) -> None:
    """Move who is in a delegated cgroup into a leaf of it: who has processes cannot have children with controllers."""
    leaf = f"{base()}{path}/{SUPERVISOR}"
    os.makedirs(leaf, exist_ok=True)
    while pids := _text(f"{base()}{path}/cgroup.procs").split():
        for pid in pids:
            try:
                with open(f"{leaf}/cgroup.procs", "w") as file:
                    file.write(pid)
            except ProcessLookupError:
                pass


def place(slot: int) -> str:
    """The path below `base` for the cgroup of a range of ids, below our own; "" if there can be none."""
    above = own() if base() else None
    return "" if above is None else f"{above}/{PREFIX}{slot}"


def make(path: str, owner: int) -> int:
    """Make it, give it to the sandbox's root, return it open. -1 where nobody may make cgroups: then there is none."""
    try:
        os.mkdir(path)
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT):
            return -1
        raise
    for name in _DELEGATED:
        os.chown(f"{path}/{name}", owner, owner)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def of(pid: int) -> int:
    """The cgroup that a process is in, open; -1 where none is mounted."""
    if not base():
        return -1
    with open(f"/proc/{pid}/cgroup") as file:
        own = next(line[3:] for line in file.read().splitlines() if line.startswith("0::"))
    return os.open(base() + own, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def kill(path: str) -> None:
    """SIGKILL to everything inside, forks in flight included."""
    try:
        with open(f"{path}/cgroup.kill", "w") as file:
            file.write("1")
    except FileNotFoundError:
        pass


def freeze(path: str, frozen: bool) -> bool:
    """Stop everything inside where it is, or let it go on: cgroup.freeze. False: it does not stop within 10 s."""
    try:
        with open(f"{path}/cgroup.freeze", "w") as file:
            file.write(str(int(frozen)))
    except FileNotFoundError:
        if frozen:
            raise
    for delay in (*[0.0001] * 100, *[0.002] * 5000):
        if is_frozen(path) == frozen:
            return True
        if not os.path.exists(path):
            break
        time.sleep(delay)
    return False


def is_frozen(path: str) -> bool:
    return _counters(f"{path}/cgroup.events").get("frozen") == 1


def is_populated(path: str) -> bool:
    """Does anything run in it?"""
    return _counters(f"{path}/cgroup.events").get("populated") == 1


def usage(path: str, folders: "Iterable[str]" = ()) -> "tuple[int | None, int | None, int | None]":
    """(bytes of memory, microseconds of processor time, processes); None where nothing counts it. `folders`: those of
    the controllers that are not in cgroup2."""
    memory = [_count(f"{path}/memory.current"), *(_count(f"{folder}/memory.usage_in_bytes") for folder in folders)]
    return (
        next((count for count in memory if count is not None), None),
        _counters(f"{path}/cpu.stat").get("usage_usec"),
        _processes(path),
    )


def _processes(path: str) -> "int | None":
    try:
        return sum(len(_text(f"{folder}/cgroup.procs").split()) for folder, _, _ in os.walk(path)) if path else None
    except OSError:
        return None  # gone, or threaded below


def _count(path: str) -> "int | None":
    try:
        return int(_text(path))
    except (OSError, ValueError):
        return None


def _counters(path: str) -> "dict[str, int]":
    """A file of lines "name number"; empty if it is not there."""
    try:
        return {name: int(value) for name, value in map(str.split, _text(path).splitlines())}
    except (OSError, ValueError):
        return {}


def _text(path: str) -> str:
    with open(path) as file:
        return file.read()


def remove(path: str) -> None:
    """Remove it and what was made below it, as soon as nothing runs there any more. Not there: done."""
    for folder, _, _ in os.walk(path, topdown=False):
        # The kernel unlinks a task only when it has switched out for the last time: EBUSY a little after its wait().
        for delay in (0.0005, *[0.001] * 20, *[0.01] * 500):
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                time.sleep(delay)
                continue
            break
        else:
            os.rmdir(folder)
