"""What a test may not leave behind on the host: mounts, processes, cgroups, loop devices, container records."""

import os
import time
from pathlib import Path

import ground
from ground import RECORDS

base = Path("/")  # loop devices count whose files lie below it


def mounts() -> set[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {f"mount {fields[4]} ({fields[0]})" for fields in map(str.split, lines)}


def loops() -> set[str]:
    found = set()
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            path = file.read_text().strip()
        except OSError:
            continue  # another run's, which is just going
        if Path(path).is_relative_to(base):
            found.add(f"loop device {file.parent.parent.name}: {path}")
    return found


def cgroups() -> set[str]:
    """Below the one of this run."""
    return {f"cgroup {path}" for path in ground.cgroups(ground.cgroup_folder())}


def records() -> set[str]:
    """Without the filters' programs, which are kept for the next launch."""
    found = os.walk(RECORDS)
    return {f"record {folder}/{name}" for folder, _, names in found for name in names if Path(folder).name != "filters"}


def processes() -> set[str]:
    """Our descendants, orphans included; our own dead ones do not count."""
    children: dict[int, list[tuple[int, str]]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        name, _, rest = stat.partition("(")[2].rpartition(")")
        state, parent = rest.split()[:2]
        if state != "Z" or int(parent) != os.getpid():
            children.setdefault(int(parent), []).append((int(entry.name), name))
    found, queue = set(), [os.getpid()]
    while queue:
        for pid, name in children.get(queue.pop(), []):
            found.add(f"process {pid} ({name})")
            queue.append(pid)
    return found


def state() -> set[str]:
    return mounts() | loops() | cgroups() | records() | processes()


def since(before: set[str], patience: float = 3.0) -> set[str]:
    """What is there now and was not `before`. What goes within `patience` s is no leak: the kernel is lazy."""
    end = time.monotonic() + patience
    while (left := state() - before) and time.monotonic() < end:
        time.sleep(0.05)
    return left
