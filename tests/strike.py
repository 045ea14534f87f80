"""Kill a program, or fail its calls, at each place where it changes a disk: strace(1)'s fault injection.

    for blow in strike.each(command, folder, prepare=fresh):
        look(blow)

runs `command` again and again, each time after `prepare()`, and hits the 1st, 2nd, 3rd... call of each kind, in
whichever of its processes comes to that number, until a run comes through unhurt. After each run it hands out what
happened; the last one of each kind has `hit` False.
"""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# ?: not every machine has each of them (aarch64 has only the *at calls).
CALLS = (
    "?rename,?renameat,?renameat2", "?mkdir,?mkdirat", "?rmdir,?unlink,?unlinkat", "?link,?linkat",
    "?symlink,?symlinkat", "fsync,?fdatasync,syncfs,?sync",
)  # fmt: skip
KILL, NO_SPACE = "signal=KILL", "error=ENOSPC"


@dataclass(frozen=True)
class Blow:
    calls: str
    number: int
    hit: bool
    status: int  # of the command; negative: the signal that killed it
    output: str  # what it said
    struck: str  # strace's line

    def __str__(self) -> str:
        return f"{self.calls} #{self.number}: {self.struck or 'not reached'}; status {self.status}: {self.output}"


def each(
    command: Sequence[str | Path],
    folder: Path,
    prepare: Callable[[], object],
    fault: str = KILL,
    calls: Sequence[str] = CALLS,
    env: Mapping[str, str] | None = None,
) -> Iterator[Blow]:
    """folder: for strace's own log. A program that never gets through is an error after 1000 runs."""
    for group in calls:
        for number in range(1, 1000):
            prepare()
            blow = once(command, folder, group, number, fault, env)
            yield blow
            if not blow.hit:
                break
        else:
            raise AssertionError(f"{group}: no end of it")


def once(
    command: Sequence[str | Path],
    folder: Path,
    calls: str,
    number: int,
    fault: str = KILL,
    env: Mapping[str, str] | None = None,
) -> Blow:
    log = folder / "strace.log"
    strace = ["strace", "-f", "-qq", "-o", log, "-e", "signal=KILL", "-e", f"trace={calls}"]
    done = subprocess.run(
        [*strace, "-e", f"inject={calls}:{fault}:when={number}", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
        check=False,
    )
    lines = log.read_text(errors="replace").splitlines()
    struck = [at for at, line in enumerate(lines) if "(INJECTED" in line or "killed by SIGKILL" in line]
    line = lines[struck[0] - ("SIGKILL" in lines[struck[0]])] if struck else ""
    return Blow(calls, number, bool(struck), done.returncode, done.stdout.strip(), line)
