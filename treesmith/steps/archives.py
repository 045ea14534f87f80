"""The archives that a locked step is made of: each by its digest, from the pool of downloads, else from its source.

They are fetched here and not by the tools, so that one rule holds for all kinds, and nothing inside needs a network.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from treesmith.archive.read import read
from treesmith.compare import walk
from treesmith.errors import Error
from treesmith.inventory import Archive
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.network import certificates
from treesmith.steps.room import PASSING, Room
from treesmith.steps.source import local_path
from treesmith.steps.step import Step

LOCKED = f"{PASSING}/locked"  # where a shelf is inside

_TRIES = 3
_WAIT = 60  # seconds without an answer
_SNAPSHOTS = "https://snapshot.debian.org/archive"


class Shelf(NamedTuple):
    """Folders of the host, for one step: they are gone with it."""

    archives: str  # only what the lock names
    own: str  # for whatever the step's tool needs
    place: str = LOCKED  # where the archives are inside

    @property
    def bind(self) -> Bind:
        """The archives, to be read inside."""
        return Bind(self.archives, self.place, read_only=True)


@contextmanager
def shelf(step: Step, room: Room, called: Callable[[Archive], str] = lambda archive: archive.file) -> Iterator[Shelf]:
    """The archives of the step's lock, each under the name that `called` gives it. Error: one is nowhere."""
    cache = room.cache("archives")
    pool, own = os.path.join(cache, "pool"), os.path.join(cache, "step")
    shutil.rmtree(own, ignore_errors=True)
    made = Shelf(os.path.join(own, "archives"), os.path.join(own, "own"))
    for folder in (pool, made.archives, made.own):
        os.makedirs(folder, exist_ok=True)
    try:
        for package, archive in step.archives.items():
            kept = _kept(pool, archive)
            if not _fits(kept, archive.digest):
                _fetch(step, room, package, archive, kept)
            os.utime(kept)  # used today: for whoever makes room
            path = os.path.join(made.archives, called(archive))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with suppress(FileExistsError):  # two packages, one archive
                os.link(kept, path)
        yield made
    finally:
        shutil.rmtree(own)


def keep_links(room: Room, folder: str, files: Mapping[str, Archive]) -> None:
    """Let those files of `folder`, by name, be found in the pool too. They are only links, and whoever writes to the
    folder writes to them: the pool's are looked at before they are used.
    """
    pool = os.path.join(room.cache("archives"), "pool")
    os.makedirs(pool, exist_ok=True)
    for name, archive in files.items():
        with suppress(FileNotFoundError, FileExistsError):
            os.link(os.path.join(folder, name), _kept(pool, archive))


def _kept(pool: str, archive: Archive) -> str:
    return os.path.join(pool, archive.digest.removeprefix("sha256:"))


def taken(folder: str, name: str) -> bytes:
    """A file that a program inside left in a folder of the host's, and then it is gone; b"": it did not."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        content = read(fd, name)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=fd)
        return content
    finally:
        os.close(fd)


def digests(folder: str) -> dict[str, str]:
    """Of each file that programs inside left in a folder of the host's, by relative path."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return {entry.path: f"sha256:{entry.digest}" for entry in walk(fd) if entry.type == "file"}
    finally:
        os.close(fd)


def unlocked(step: Step, built: Iterable[str] = (), more: Iterable[str] = ()) -> str:
    """Which of its packages, and of `more`, save those that it built, the step's lock names no archive of, or ""."""
    assert step.lock
    missing = sorted({*step.lock.made.get("packages", {}), *more} - set(step.archives) - set(built))
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return f"where it got {', '.join(missing[:3])}{more} is not known" if missing else ""


def _fits(path: str, digest: str) -> bool:
    algorithm, _, value = digest.partition(":")
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest() == value
    except FileNotFoundError:
        return False


def _fetch(step: Step, room: Room, package: str, archive: Archive, kept: str) -> None:
    """Into the pool, as `kept`."""
    assert step.lock
    said = []
    arriving = f"{kept}.new"
    for url in (archive.source, *_elsewhere(archive.source, step.lock.epoch)):
        room.say(f"fetching {url}")
        try:
            _download(url, arriving, room.caller)
        except OSError as error:  # urllib's and ssl's are
            said.append(f"{url}: {error}")
            continue
        if _fits(arriving, archive.digest):
            os.rename(arriving, kept)
            return
        said.append(f"{url}: not what was locked, {archive.digest}")
        os.unlink(arriving)
    brief = f"{package}, as it was locked, is nowhere to be had"
    hint = "a mirror that keeps what is old may have it; else build without --locked, and lock what came of it"
    raise Error(brief, "\n".join([*said, f"and not among the downloads in {os.path.dirname(kept)}"]), hint)


def _elsewhere(url: str, epoch: int) -> Iterator[str]:
    """Debian keeps what was ever in its archives, by time."""
    path = urlsplit(url).path
    for name in ("debian", "debian-security"):
        _, mark, rest = path.partition(f"/{name}/pool/")
        if mark and "://" in url and not local_path(url):
            yield f"{_SNAPSHOTS}/{name}/{datetime.fromtimestamp(epoch, UTC):%Y%m%dT%H%M%SZ}/pool/{rest}"


def _download(url: str, path: str, caller: Mapping[str, str]) -> None:
    """OSError: not there, not reached."""
    import ssl  # a build that has all it needs does not pay for it
    import urllib.request

    if folder := local_path(url):
        shutil.copyfile(urllib.request.url2pathname(folder), path)
        return
    if urlsplit(url).scheme not in ("http", "https"):
        raise OSError("neither http, https nor file")
    context = ssl.create_default_context(cafile=certificates(caller) or None)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))  # proxies: the environment's
    request = urllib.request.Request(url, headers={"User-Agent": "treesmith"})
    for tried in range(1, _TRIES + 1):
        try:
            with opener.open(request, timeout=_WAIT) as answer, open(path, "wb") as file:
                shutil.copyfileobj(answer, file, 1 << 20)
            return
        except OSError as error:
            if tried == _TRIES or getattr(error, "code", 500) < 500:
                raise
