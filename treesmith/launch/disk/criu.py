"""The program criu(8)."""

import os
import shutil

from treesmith.errors import Error

_SHOWN = 3  # lines of what it says
_DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")


def check() -> None:
    """Error: it is not there, or does not work on this kernel."""
    if not shutil.which("criu"):
        raise Error("CRIU is not installed", "it writes processes to disk", "apt install criu")
    said, status = run(("check",))
    if status:
        why = _errors(said) or f"status {status}"
        raise Error("nothing can be frozen to disk on this machine", f"criu check: {why}", "another kernel, or CRIU")


def run(words: "tuple[str, ...]", log: str = "", **environment: str) -> "tuple[str, int]":
    """What it said, or wrote to the file `log`, and its exit status."""
    output = os.memfd_create("criu", os.MFD_CLOEXEC)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
        argv = [*_DIES_WITH_US, "criu", *words]
        pid = os.posix_spawnp(argv[0], argv, {**os.environ, **environment, "LC_ALL": "C"}, file_actions=actions)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        said = os.pread(output, 1 << 20, 0).decode(errors="replace")
    finally:
        os.close(output)
    return (read(log) or said) if log else said, status


def read(log: str) -> str:
    try:
        with open(log, errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def failed(what: str, said: str, status: int) -> Error:
    return Error(what, _errors(said) or f"criu ended with status {status}")


def _errors(said: str) -> str:
    lines = [line.partition("): ")[2] or line for line in said.splitlines() if "Error (" in line]
    return "; ".join(lines[:_SHOWN])
