"""Every call by which a piece of Python changes a disk, and being struck there: killed, or told that the disk is full.

    for blow in points.each(change, folder, prepare=fresh, fault=strike.KILL):
        look(blow)

`change` runs in a child of the tests, which strace(1) attaches to, so that nothing but its own calls is counted. The
first run is only watched: it comes first, with `hit` False. After `prepare()` each following one is struck at the next
of the calls that were seen. The program `cp`, where `change` starts it, is struck in the same way with `program="cp"`.
"""

import os
import re
import shutil
import subprocess
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from strike import Blow

Change = Callable[[], object]

# ?: not every machine has each of them (aarch64 has only the *at calls).
_CALLS = ",".join((
    "?rename,?renameat,?renameat2,?mkdir,?mkdirat,?rmdir,?unlink,?unlinkat,?link,?linkat,?symlink,?symlinkat",
    "?mknod,?mknodat,?open,?openat,?openat2,?creat,write,pwrite64,writev,copy_file_range,?sendfile,ftruncate,truncate",
    "fallocate,?chmod,fchmod,fchmodat,?chown,?lchown,fchown,fchownat,?utime,?utimes,?futimesat,utimensat",
    "setxattr,lsetxattr,fsetxattr,removexattr,lremovexattr,fremovexattr,fsync,fdatasync,syncfs,sync,ioctl",
))  # fmt: skip
_LINE = re.compile(r"(\w+)\((.*)")
_IOCTLS = ("_SUBVOL_CREATE", "_SNAP_CREATE", "_SNAP_DESTROY", "_SUBVOL_SETFLAGS", "FICLONE", "_SETFLAGS")
_NO_FILE = re.compile(r"\d+<(pipe|socket|anon_inode|/dev/|/proc/|/sys/)")


def each(
    change: Change,
    folder: Path,
    prepare: Callable[[], object],
    fault: str,
    only: str = "",
    program: str = "",
) -> Iterator[Blow]:
    """folder: for strace's log. only: a regular expression for the names of the calls."""
    prepare()
    blow, lines = _run(change, folder, program, "")
    yield blow
    for call, number in changing(lines):
        if re.search(only, call):
            prepare()
            yield _run(change, folder, program, fault, call, number)[0]


def changing(lines: list[str]) -> list[tuple[str, int]]:
    """(call, its number among those of its name) of each line of strace's that changes a disk."""
    found, numbers = [], dict[str, int]()
    for line in lines:
        match = _LINE.match(line)
        if match:
            call, arguments = match.groups()
            numbers[call] = numbers.get(call, 0) + 1
            if _changes(call, arguments):
                found.append((call, numbers[call]))
    return found


def _changes(call: str, arguments: str) -> bool:
    if call.startswith("open"):
        return "O_CREAT" in arguments or "O_TRUNC" in arguments
    if call == "ioctl":
        return any(name in arguments for name in _IOCTLS)
    return not (call in ("write", "pwrite64", "writev") and _NO_FILE.match(arguments))


def _run(
    change: Change, folder: Path, program: str, fault: str, call: str = "", number: int = 0
) -> tuple[Blow, list[str]]:
    log = folder / "strace.log"
    log.unlink(missing_ok=True)
    strace = ["strace", "-y", "-qqq", "-o", str(log), "-e", "signal=KILL", "-e", f"trace={_CALLS}"]
    if fault:
        strace += ["-e", f"inject={call}:{fault}:when={number}"]
    reading, writing = os.pipe()
    ready, go = os.pipe()
    child = os.fork()
    if not child:
        _be(change, ready, writing, go, _wrapper(folder, program, strace) if program else "")
    os.close(writing)
    os.close(ready)
    tracer = None
    if not program:
        strace.remove("-qqq")
        tracer = subprocess.Popen([*strace, "-p", str(child)], stderr=subprocess.PIPE, text=True)
        assert tracer.stderr
        said = tracer.stderr.readline()
        assert "attached" in said, said
    os.write(go, b"!")
    os.close(go)
    with open(reading, errors="replace") as pipe:
        output = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if tracer:
        tracer.communicate()
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    struck = [at for at, line in enumerate(lines) if "(INJECTED" in line or "killed by SIGKILL" in line]
    line = lines[struck[0] - ("SIGKILL" in lines[struck[0]])] if struck else ""
    return Blow(call, number, bool(struck), status, output.strip(), line), lines


def _be(change: Change, ready: int, output: int, go: int, path: str) -> None:
    """The child: `change`, once it may."""
    status = 1
    try:
        os.close(go)
        os.read(ready, 1)
        os.close(ready)
        os.dup2(output, 2)
        os.environ["PATH"] = path + os.environ["PATH"]
        try:
            change()
            status = 0
        except Exception:
            os.write(output, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _wrapper(folder: Path, program: str, strace: list[str]) -> str:
    """What to put before PATH, so that `program` runs under strace."""
    target = shutil.which(program)
    assert target
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / program).write_text(f'#!/bin/sh\nexec {" ".join(strace)} {target} "$@"\n')
    (folder / "bin" / program).chmod(0o755)
    return f"{folder}/bin:"
