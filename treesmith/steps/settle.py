"""What makes two locked builds differ though they do the same: the time of day, and what programs note about it.

The rest is the programs' own: SOURCE_DATE_EPOCH, and seeds that make Python's and Perl's hashes come in one order.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from treesmith.compare import walk
from treesmith.etckeeper import dates
from treesmith.linux.file import BENEATH, NO_MAGICLINKS, NO_SYMLINKS, open_inside

_DAY = 86400  # seconds
_PLAIN = BENEATH | NO_SYMLINKS | NO_MAGICLINKS
_LOGS = "var/log/"
# They hold times of files, and are made again by whoever misses them.
_CACHES = ("var/cache/fontconfig/", "var/cache/ldconfig/", "var/cache/man/")


def environment(epoch: int) -> dict[str, str]:
    """For the programs of a locked step. Python's own caches of what a step imports would hold times."""
    return {
        "SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1",
        "PERL_HASH_SEED": "0", "PERL_PERTURB_KEYS": "0", **dates(epoch),
    }  # fmt: skip


def settle(root: int, epoch: int) -> None:
    """Empty the logs and caches of a root that nobody writes to now; let nothing in it be younger than `epoch`, in unix
    seconds: neither files nor passwords.
    """
    latest = epoch * 10**9
    entries = list(walk(root, content=False))
    changed = set()
    for entry in entries:
        if entry.type == "file" and entry.path.startswith(_CACHES):
            with _above(root, entry.path) as (folder, name):
                os.unlink(name, dir_fd=folder)
            changed.add(os.path.dirname(entry.path))
        elif entry.type == "file" and entry.size and entry.path.startswith(_LOGS):
            os.close(open_inside(root, entry.path, os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK, resolve=_PLAIN))
            changed.add(entry.path)
    for path in ("etc/shadow", "etc/shadow-"):
        if _age(root, path, epoch // _DAY):
            changed.add(path)
    for entry in entries:
        if entry.path in changed or entry.mtime > latest:
            with _above(root, entry.path) as (folder, name), suppress(FileNotFoundError):
                os.utime(name, ns=(latest, latest), dir_fd=folder, follow_symlinks=False)


@contextmanager
def _above(root: int, path: str) -> Iterator[tuple[int, str]]:
    """(folder, name), for calls that take `dir_fd`. No link is followed."""
    above, _, name = path.rpartition("/")
    folder = open_inside(root, above or ".", os.O_PATH | os.O_DIRECTORY, resolve=_PLAIN)
    try:
        yield folder, name or "."
    finally:
        os.close(folder)


def _age(root: int, path: str, day: int) -> bool:
    """shadow(5): let no password have been changed after `day`. Whether one was."""
    try:
        file = open_inside(root, path, os.O_RDWR | os.O_NONBLOCK, resolve=_PLAIN)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return False
        old = os.pread(file, os.fstat(file).st_size, 0)
        new = b"\n".join(_aged(line, day) for line in old.split(b"\n"))
        if new != old:
            os.pwrite(file, new, 0)
            os.ftruncate(file, len(new))
        return new != old
    finally:
        os.close(file)


def _aged(line: bytes, day: int) -> bytes:
    fields = line.split(b":")
    if len(fields) > 2 and fields[2].isdigit() and int(fields[2]) > day:
        fields[2] = b"%d" % day
    return b":".join(fields)
