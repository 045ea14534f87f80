"""Ground of their own for the tests, so that runs side by side do not see each other, and a leak is ours.

The mount namespace is private, /run/treesmith in it is empty, and what is launched gets its cgroup below a cgroup of
this run. It all ends with the process that took it, but for the cgroup, which `leave` removes.
"""

import ctypes
import os
import tempfile
from pathlib import Path

CLONE_NEWNS, MS_PRIVATE, MS_REC = 0x20000, 1 << 18, 0x4000
PR_SET_CHILD_SUBREAPER = 36
RECORDS = Path("/run/treesmith")

_libc = ctypes.CDLL(None, use_errno=True)


def cgroup_folder() -> Path | None:
    """Our own cgroup2, where it is mounted; None if it is not."""
    base = next(
        (base for base in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") if Path(base, "cgroup.procs").exists()), ""
    )
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line[3:] for line in lines if line.startswith("0::")), "/")
    return Path(base + own) if base else None


def cgroups(top: Path | None) -> list[Path]:
    """All below `top`. os.walk passes over what goes meanwhile, as other runs' do; Path.rglob fails."""
    return [Path(folder, name) for folder, names, _ in os.walk(top) for name in names] if top else []


def take() -> Path | None:
    """Returns the cgroup that was left."""
    _check(_libc.unshare(CLONE_NEWNS), "unshare")
    _check(_libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "make / private")
    RECORDS.mkdir(mode=0o700, exist_ok=True)
    _check(_libc.mount(b"tests", bytes(RECORDS), b"tmpfs", 0, b"mode=0700"), f"mount {RECORDS}")
    # Whatever loses its parent becomes our child, so that nothing can hide by daemonising.
    _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")
    before = cgroup_folder()
    if before:
        own = Path(tempfile.mkdtemp(prefix="treesmith-tests-", dir=before))
        own.chmod(0o755)  # or Linux 6.1 mounts no cgroup2 in a namespace that stands below it (EACCES)
        (own / "cgroup.procs").write_text("0")
    return before


def leave(before: Path | None) -> None:
    """Back into the cgroup that `take` returned."""
    own = cgroup_folder()
    if before and own and own != before:
        (before / "cgroup.procs").write_text("0")
        own.rmdir()


def _check(result: int, what: str) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
