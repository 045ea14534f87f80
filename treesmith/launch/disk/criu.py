"""The program criu(8). What it says goes to its stderr: warnings and errors."""

import os

from treesmith.errors import Error

# The same for both ways. There is no network but the loopback, and nobody outside knows of the locks.
KEPT = (
    "--manage-cgroups=ignore", "--empty-ns=net", "--network-lock=nftables", "--tcp-established", "--file-locks",
    "--no-default-config",
)  # fmt: skip
_SHOWN = 3  # lines of what it says


def check() -> None:
    """Error: it is not there, or does not work on this kernel."""
    from shutil import which

    if not which("criu"):
        raise Error("CRIU is not installed", "it writes processes to disk", "apt install criu")
    try:
        run("nothing can be frozen to disk on this machine", "check")
    except Error as error:
        error.hint = f"a CRIU that knows this kernel ({os.uname().release}), or an older kernel"
        raise


def run(failure: str, *words: str, hold: int = -1) -> None:
    """Away from our terminal's Ctrl-C. hold: a descriptor that it has, too. Error: it failed."""
    log = os.memfd_create("criu", os.MFD_CLOEXEC)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
        if hold >= 0:
            actions.append((os.POSIX_SPAWN_DUP2, hold, hold))
        argv, environment = ["criu", *words], {**os.environ, "LC_ALL": "C"}
        pid = os.posix_spawnp(argv[0], argv, environment, file_actions=actions, setsid=True)
        judge(failure, words[0], os.waitpid(pid, 0)[1], log)
    finally:
        os.close(log)


def judge(failure: str, verb: str, status: int, log: int) -> None:
    """Error: it did not end well: its status, as waitpid(2) has it, says so; or, at a dump, what it wrote to `log`, for
    then it goes on after some errors, and leaves out what it could not write."""
    said = os.pread(log, 1 << 20, 0).decode(errors="replace").splitlines()
    errors = [line.partition("): ")[2] for line in said if "Error (" in line]
    if status or (errors and verb == "dump"):
        ended = f"ended with status {os.waitstatus_to_exitcode(status)}"
        raise Error(failure, f"criu {verb}: {'; '.join(errors[:_SHOWN]) or ended}")
