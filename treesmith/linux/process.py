"""Namespaces, clone3 and what a process gives up before it executes something else."""

import os

from treesmith.linux.call import packed, syscall

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 1 << 25, 1 << 26, 1 << 27
NEWUSER, NEWPID, NEWNET = 1 << 28, 1 << 29, 1 << 30
NEWTIME = 0x80  # not for clone(2)
_INTO_CGROUP = 1 << 33
_SIGCHLD = 17
_CAPABILITY_VERSION_3 = 0x20080522

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER = 1, 4, 24, 38, 36
PR_CAPBSET_READ = 23
_CLOSE_RANGE_CLOEXEC = 4


def clone3(flags: int, cgroup: "int | None" = None) -> int:
    """fork(2) into new namespaces, and into the cgroup2 whose directory `cgroup` is. Returns 0 in the child.

    None of Python's or libc's fork hooks run: the caller must have one thread only.
    """
    if cgroup is not None:
        flags |= _INTO_CGROUP
    arguments = packed(8, flags, 0, 0, 0, _SIGCHLD, 0, 0, 0, 0, 0, cgroup or 0)
    return syscall("clone3", arguments, len(arguments), what="clone3")


def unshare(flags: int) -> None:
    syscall("unshare", flags, what=f"unshare {flags:#x}")


def setns(fd: int, flags: int = 0) -> None:
    syscall("setns", fd, flags, what="setns")


def prctl(option: int, value: int = 0) -> int:
    return syscall("prctl", option, value, what=f"prctl {option} {value}")


def clear_inheritable() -> None:
    """Keep what this process may do, and hand none of it on: what is inheritable is what a program that root executes
    gets beyond the bounding set (capabilities(7), capset(2)). A new user namespace begins without any."""
    with open("/proc/self/status") as file:
        held = next(int(line.split()[1], 16) for line in file if line.startswith("CapPrm:"))
    halves = (held & 0xFFFFFFFF, held >> 32)
    syscall("capset", packed(4, _CAPABILITY_VERSION_3, 0), b"".join(packed(4, half, half, 0) for half in halves))


def began(pid: int) -> str:
    """When a process began, in ticks since boot: tells it from whoever has its number later. proc_pid_stat(5)."""
    with open(f"/proc/{pid}/stat", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[19]


def send_signal(pidfd: int, number: int) -> None:
    syscall("pidfd_send_signal", pidfd, number, None, 0, what=f"signal {number}")


def sethostname(name: str) -> None:
    syscall("sethostname", os.fsencode(name), len(os.fsencode(name)), what="sethostname")


def close_on_exec(first: int) -> None:
    """Mark every descriptor from `first` on; nothing is closed before the exec."""
    syscall("close_range", first, 0xFFFFFFFF, _CLOSE_RANGE_CLOEXEC, what="close_range")
