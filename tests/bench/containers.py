"""Fifty containers at once: how long until all run, and what each takes in memory.

PSS (proc_pid_smaps(5)) of what runs for a container: its program, its init and whoever supervises it, but not a daemon
that all have in common. And what the kernel and page cache took meanwhile, as far as nothing else did: MemAvailable.
"""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from rivals import IMAGE, PODMAN_RUN

COUNT = 50
NAMES = [f"bench-{number}" for number in range(COUNT)]
SLEEP = "sleep 1000"
Parents = Callable[[], set[int]]  # whose children, and theirs, the containers are


def together(docker: str, podman: str, tree: Path) -> None:
    print(f"\n{COUNT} containers at once")
    print(f"  {'':<36}{'all run':>10}{'each':>12}{'PSS of each':>16}{'MemAvailable':>16}")
    _try("treesmith launch --detach", "treesmith launch -q -d --ephemeral --name {} bench -- " + SLEEP, _supervisors,
         "treesmith stop -q {} --timeout 0")  # fmt: skip
    run = f"run -d --network none --name {{}} {IMAGE} {SLEEP}"
    if docker:
        _try("docker run -d", f"{docker} {run}", lambda: _shims(f"{docker} inspect"), docker + " rm -f {}")
    if podman:
        extra = PODMAN_RUN.replace("--network none ", "")
        detached = run.replace("run -d", f"run -d {extra}")
        _try("podman run -d", f"{podman} {detached}", lambda: _shims(f"{podman} inspect"), podman + " rm -f -t 0 {}")
    _nspawn(tree)


def _try(label: str, start: str, parents: Parents, stop: str) -> None:
    before, began = _available(), time.monotonic()
    _all(start)
    _row(label, time.monotonic() - began, parents(), before)
    _all(stop)


def _nspawn(tree: Path) -> None:
    """It stays in the foreground, and two of it share a tree only if neither writes to it."""
    before, began = _available(), time.monotonic()
    command = f"systemd-nspawn -q --register=no --keep-unit --volatile=overlay -D {tree} -M {{}}"
    ups = ["sh", "-c", f"echo up; exec {SLEEP}"]
    running = [
        subprocess.Popen(
            [*command.format(name).split(), *ups], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for name in NAMES
    ]  # fmt: skip
    try:
        for one in running:
            assert one.stdout and one.stdout.readline().strip() == b"up"
        _row("systemd-nspawn --volatile=overlay", time.monotonic() - began, {one.pid for one in running}, before)
    finally:
        for one in running:
            one.kill()
            one.wait()


def _all(command: str) -> None:
    """For every name, at once."""
    null = subprocess.DEVNULL
    running = [subprocess.Popen(command.format(name).split(), stdin=null, stdout=null) for name in NAMES]
    ended = [one.wait() for one in running]
    assert not any(ended), command


def _supervisors() -> set[int]:
    told = json.loads(subprocess.check_output(["treesmith", "ps", "--json"]))
    return {_parent(one["pid"]) for one in told["containers"] if one["name"] in NAMES}


def _shims(inspect: str) -> set[int]:
    told = subprocess.check_output([*inspect.split(), "--format", "{{.State.Pid}}", *NAMES], text=True)
    return {_parent(int(pid)) for pid in told.split()}


def _row(label: str, took: float, parents: set[int], before: int) -> None:
    assert len(parents) == COUNT, (label, len(parents))
    each = sum(map(_pss, _below(parents))) / COUNT / 1024
    less = (before - _available()) / COUNT / 1024
    print(f"  {label:<36}{took * 1000:>7.0f} ms{took * 1000 / COUNT:>9.1f} ms{each:>12.1f} MiB{less:>12.1f} MiB")


def _below(parents: set[int]) -> set[int]:
    """These processes and all that descend from them."""
    above = {int(path.name): _parent(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdecimal()}
    found = set(parents)
    while more := {pid for pid, parent in above.items() if parent in found} - found:
        found |= more
    return found


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _pss(pid: int) -> int:
    """KiB."""
    return _kib(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")


def _available() -> int:
    """KiB."""
    return _kib(Path("/proc/meminfo"), "MemAvailable:")


def _kib(file: Path, word: str) -> int:
    return next((int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith(word)), 0)
