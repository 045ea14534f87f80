"""Whether a command can be run, looked at before: an init's own exit status tells no reasons."""

import os

from treesmith.errors import Error
from treesmith.sandbox import elf

CANNOT_RUN, NOT_FOUND = 126, 127  # as shells and all container tools have it


def emulates() -> bool:
    """Whether this machine runs programs of others, by binfmt_misc. To be asked on the host: inside nothing tells."""
    try:
        return bool(set(os.listdir("/proc/sys/fs/binfmt_misc")) - {"register", "status"})
    except OSError:
        return False


def find(command: str, path: str, emulated: bool) -> str:
    """Its file, by the ids, the root and the working directory that it will have. `path` is its PATH; `emulated`: what
    `emulates` said. Error, with status."""
    places = [command] if "/" in command else [f"{folder or '.'}/{command}" for folder in path.split(":")]
    there = [place for place in places if os.path.exists(place)]
    if not there:
        if os.path.lexists(command) and "/" in command:
            raise Error(f"{command}: not found", "it is a link to nothing", status=NOT_FOUND)
        raise Error(f"{command}: not found", "" if "/" in command else f"looked in {path}", status=NOT_FOUND)
    runnable = [place for place in there if os.access(place, os.X_OK) and os.path.isfile(place)]
    if not runnable:
        reason = "it is a folder" if os.path.isdir(there[0]) else "it is not executable"
        raise Error(f"{there[0]}: cannot be run", reason, status=CANNOT_RUN)
    _check_interpreter(runnable[0], emulated)
    return runnable[0]


def _check_interpreter(path: str, emulated: bool) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return  # it may be executed without being read
    try:
        needs = elf.interpreter(fd)
        foreign = elf.is_foreign(fd) and not emulated
    finally:
        os.close(fd)
    if foreign:
        raise Error(f"{path}: cannot be run", "it is for a machine of another kind", status=CANNOT_RUN)
    if needs and not os.path.exists(needs):
        raise Error(f"{path}: cannot be run", f"it needs {needs}, which is not there", status=NOT_FOUND)
    if needs and not os.access(needs, os.X_OK):
        raise Error(f"{path}: cannot be run", f"it needs {needs}, which is not executable", status=CANNOT_RUN)
