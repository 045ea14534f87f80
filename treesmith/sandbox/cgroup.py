"""A cgroup2 leaf for a sandbox: Documentation/admin-guide/cgroup-v2.rst, "Delegation"."""

import errno
import os
import time

# What /sys/kernel/cgroup/delegate lists; the limits are not among it.
_DELEGATED = ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads")
_BASES = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
_PREFIX = "treesmith-"


def base() -> str:
    """Where cgroup2 is mounted: there in a pure or a hybrid hierarchy; "" if it is not."""
    return next((path for path in _BASES if os.path.exists(f"{path}/cgroup.procs")), "")


def place(slot: int) -> str:
    """The path below `base` for the cgroup of a range of ids, below our own; "" if there can be none."""
    if not base():
        return ""
    with open("/proc/self/cgroup") as file:
        own = next((line[3:].rstrip("/") for line in file.read().splitlines() if line.startswith("0::")), "")
    return "" if own.startswith("/..") else f"{own}/{_PREFIX}{slot}"  # "/../x": not below what is mounted here


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
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def kill(path: str) -> None:
    """SIGKILL to everything inside, forks in flight included."""
    try:
        with open(f"{path}/cgroup.kill", "w") as file:
            file.write("1")
    except FileNotFoundError:
        pass


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
