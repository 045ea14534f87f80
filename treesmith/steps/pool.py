"""Downloads kept by what they hold, for programs that trust what they find in their cache.

apt takes an archive in its cache for the one it wants if only the size is right. A cache that steps share and write to
would so carry whatever one tree's programs put there into all others. So a step gets a folder of its own, filled from
the pool with what it wants by digest; and the pool gets from it only what has the digest that was wanted.
"""

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable
from typing import NamedTuple

_LINE = re.compile(r"'(?P<source>[^']*)' (?P<name>[^/\s.][^/\s]*) \d+ SHA256:(?P<digest>[0-9a-f]{64})")


class Wanted(NamedTuple):
    """A file that a program will look for in its cache."""

    name: str  # of the file, without a folder
    digest: str  # SHA-256, hex
    source: str = ""  # its URL

    def fits(self, path: str) -> bool:
        """Whether `path`, links not followed, is the file that is wanted."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return False
            return hashlib.file_digest(file, "sha256").hexdigest() == self.digest


def wanted(uris: str) -> list[Wanted]:
    """What `apt-get --print-uris -oAcquire::ForceHash=SHA256` says it would fetch."""
    found = map(_LINE.fullmatch, uris.splitlines())
    return [Wanted(line["name"], line["digest"], _url(line["source"])) for line in found if line]


def _url(said: str) -> str:
    """With the // that apt leaves out of file:///."""
    return re.sub("^file:/(?!/)", "file:///", said)


def lend(pool: str, files: Iterable[Wanted], folder: str) -> None:
    """Put those files into `folder` that the pool has: copies, as the step may write to them."""
    for file in files:
        kept = os.path.join(pool, file.digest)
        if file.fits(kept):
            os.utime(kept)  # used today: for whoever makes room
            shutil.copyfile(kept, os.path.join(folder, file.name))


def keep(pool: str, files: Iterable[Wanted], folder: str) -> None:
    """Move those files of `folder` into the pool that are what was wanted. Nothing may write to them any more."""
    for file in files:
        path = os.path.join(folder, file.name)
        if file.fits(path):
            os.rename(path, os.path.join(pool, file.digest))
