"""What is mounted on the host for people to look into: its records, and clearing up after dead holders.

RUN/ID is a mount's record. Its lock is held while the holder lives (see mounts.py), which goes when the mount does,
whoever unmounts it. A record that nobody holds is a dead holder's: `settle` unmounts what it left before the tree is
used again.
"""

import errno
import os

import treesmith
from treesmith.errors import BusyError, NotFoundError
from treesmith.store import locks, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.store.store import Store

RUN = f"{treesmith.RUN}/mounts"
NOFOLLOW = 8  # umount2(2)


class Mounted:
    """A mount's record. place: absolute directory. own: the directory was made for it. number: the mount's id as in
    mountinfo; device, inode: its root's."""

    __slots__ = ("device", "id", "inode", "name", "number", "own", "place")

    def __init__(self, id: str, name: str, place: str, own: bool, number: int, device: int, inode: int) -> None:
        self.id = id
        self.name = name
        self.place = place
        self.own = own
        self.number = number
        self.device = device
        self.inode = inode

    def exists(self) -> bool:
        """Is it there, and the uppermost on its directory?"""
        from treesmith.linux.mountinfo import unescaped

        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            rows = [line.split(" ", 5) for line in file]
        here = [int(row[0]) for row in rows if unescaped(row[4]) == self.place]
        if self.number not in here:
            return False
        if here[-1] != self.number:
            raise BusyError(f"something else is mounted over {self.place}", hint="unmount that first")
        status = os.stat(self.place)
        return (status.st_dev, status.st_ino) == (self.device, self.inode)

    def write(self) -> None:
        fields = {name: getattr(self, name) for name in self.__slots__}
        records.write_file(f"{RUN}/{self.id}", records.encode(fields), durable=False)


def find(store: "Store", what: str) -> Mounted:
    """The mount of a tree, or the one on a directory (which has a / in it). NotFoundError: there is none."""
    if "/" in what:
        place = os.path.realpath(what)
        found = [mounted for mounted in mounts() if mounted.place == place]
        what = place
    else:
        id = store.identify(what)
        found = [mounted for mounted in mounts() if mounted.id == id]
    if not found:
        raise NotFoundError(f"{what} is not mounted by treesmith", hint="what is mounted: findmnt, treesmith show TREE")
    return found[0]


def mounts() -> "list[Mounted]":
    """Every record, its holder alive or not."""
    return [mounted for mounted in map(_read, _ids()) if mounted]


def _ids() -> "list[str]":
    try:
        return sorted(os.listdir(RUN))
    except FileNotFoundError:
        return []


def where(id: str) -> str:
    """The directory that the tree is mounted on, "" if it is not."""
    try:
        held = locks.attempt(f"{RUN}/{id}", exclusive=True, create=False, patience=0)
    except FileNotFoundError:
        return ""
    if held:
        held.close()
        return ""
    mounted = _read(id)
    return mounted.place if mounted else ""


def settle(id: str) -> None:
    """Before a tree's exclusive lock: a mount whose holder died without unmounting holds no lock, and goes first.
    BusyError: it is in use."""
    path = f"{RUN}/{id}"
    if not os.path.lexists(path):
        return
    try:
        record = locks.attempt(path, exclusive=True, create=False)
    except FileNotFoundError:
        return
    if not record:
        return  # a live one: the tree's own lock says so
    try:
        clear(id)
        record.remove()
    finally:
        record.close()


def recover() -> None:
    """`settle` everything that dead holders left, but what is in use."""
    for id in _ids():
        try:
            settle(id)
        except BusyError:
            pass


def clear(id: str) -> None:
    """What a dead holder's record speaks of; the record's lock is held."""
    mounted = _read(id)
    if mounted:
        if mounted.exists():
            take_down(mounted)
        _remove_place(mounted)


def drop(mounted: Mounted, record: locks.Lock) -> None:
    """Its record, whose lock is held, and the directory that was made for it."""
    _remove_place(mounted)
    record.remove()


def _remove_place(mounted: Mounted) -> None:
    if mounted.own:
        try:
            os.rmdir(mounted.place)
        except OSError:
            pass  # somebody put something there, or took it away


def take_down(mounted: Mounted) -> None:
    """BusyError: somebody uses a file of it."""
    from treesmith.linux.mount import umount

    try:
        umount(mounted.place, NOFOLLOW)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise BusyError(
                f"{mounted.name or mounted.id} is in use on {mounted.place}",
                "a process has a file open there, or stands in it",
                f"which: fuser -vm {mounted.place}",
            ) from None
        raise


def _read(id: str) -> "Mounted | None":
    """None: there is no such record, or it was cut off while it was written (before anything was mounted)."""
    try:
        fields = records.parse(records.read_file(f"{RUN}/{id}"))
        return Mounted(**fields)
    except (OSError, ValueError, TypeError):
        return None


def busy(what: str, id: str) -> BusyError:
    """That a tree's lock is held, and how to get it free."""
    place = where(id)
    if place:
        return BusyError(f"{what} is in use", f"it is mounted on {place}", f"treesmith umount {what}")
    return BusyError(f"{what} is in use", "it is running, or being forked, sealed or removed", "try again afterwards")
