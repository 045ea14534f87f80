"""A command that is killed at its own system calls, by strace(1): which there are, and one of them."""

import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ground import cgroup_folder, cgroups
from launching import PATIENCE

# At which something was just made, or is about to be; of those that a machine has.
CALLS = (
    "flock", "mkdir", "mkdirat", "rename", "unlink", "unlinkat", "rmdir", "fchown", "write", "pwrite64", "clone3",
    "clone", "fork", "vfork", "unshare", "setns", "open_tree", "mount_setattr", "sendto", "sendmsg", "recvmsg",
    "recvfrom", "pidfd_open", "pidfd_send_signal", "memfd_create", "wait4", "setsid", "dup2", "dup3", "poll", "ppoll",
)  # fmt: skip
_LINE = re.compile(r"(?:(\d+) +)?(\w+)\((.*)")


def lives() -> list[str]:
    """What is in a cgroup of ours. Of the dead only the folders may be left, for the next launch to remove."""
    found = []
    for folder in cgroups(cgroup_folder()):
        try:
            found += (folder / "cgroup.procs").read_text().split()
        except OSError:
            continue
    return found


class Victim:
    """argv: run with nothing to read. follow: kill its children, too, whichever comes to that number. trace: a file."""

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str] | None, trace: Path, follow: bool = False
    ) -> None:
        self._argv = argv
        self._environment = environment
        self._trace = trace
        self._follow = follow

    def moments(self, most: int, calls: Sequence[str] = CALLS) -> list[tuple[str, int]]:
        """(call, its number) of up to `most` of each call that it makes when nobody kills it, evenly."""
        status = self._run(",".join(f"?{call}" for call in calls))
        assert status == 0, status
        counts: dict[tuple[str, str], int] = {}
        for line in self._trace.read_text(errors="replace").splitlines():
            match = _LINE.match(line)
            if match:
                who = (match[2], match[1] or "")
                counts[who] = counts.get(who, 0) + 1
        found: dict[str, int] = {}
        for (call, _), count in counts.items():
            found[call] = max(found.get(call, 0), count)
        return [(call, when) for call, count in found.items() for when in _spread(count, most)]

    def kill(self, call: str, when: int) -> bool:
        """At its `when`th of this call; whether it, or one of its own, came to that."""
        status = self._run(call, f"{call}:signal=KILL:when={when}")
        hit = "+++ killed by SIGKILL" in self._trace.read_text(errors="replace")
        assert hit or status == 0 or self._follow, (call, when, status)
        return hit

    def paths(self, call: str, part: str) -> Iterator[Path]:
        """Those with `part` in them which it gave to `call` just now."""
        for found in re.findall(rf'\b{call}\("([^"]*{part}[^"]*)"', self._trace.read_text(errors="replace")):
            yield Path(found)

    def _run(self, calls: str, inject: str = "") -> int:
        words = ["strace", "-o", str(self._trace), "-s", "300", "-e", f"trace={calls}"]
        words += ["-e", f"inject={inject}"] if inject else []
        words += ["-f"] if self._follow else []
        done = subprocess.run(
            [*words, *self._argv], env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, check=False, timeout=PATIENCE * 3, process_group=0,
        )  # fmt: skip
        return 128 - done.returncode if done.returncode < 0 and -done.returncode != signal.SIGKILL else done.returncode


def _spread(count: int, most: int) -> list[int]:
    """At most so many numbers from 1 to `count`, both ends among them."""
    most = min(most, count)
    return [1 + number * (count - 1) // max(most - 1, 1) for number in range(most)]
