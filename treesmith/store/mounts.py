"""Trees mounted on the host, for people to look into, each by a small process that holds the tree's lock as long.

RUN/ID is a mount's record. Its lock is held while the holder lives, which goes when the mount does, whoever unmounts
it. A record that nobody holds is a dead holder's: `settle` unmounts what it left before the tree is used again.
"""

import errno
import os

from treesmith.errors import BusyError, Error, NotFoundError, UsageError
from treesmith.linux.mount import RDONLY, move_mount, set_attributes, umount
from treesmith.store import locks, records
from treesmith.store.locks import MOUNTS as RUN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.store.records import Tree
    from treesmith.store.store import Store

PLACES = "/run/treesmith/mnt"  # where trees are mounted that were given no directory
_NOFOLLOW = 8  # umount2(2)
_PATIENCE = 500  # times 10 ms: how long a holder may take to see that its mount is gone


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
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            rows = [line.split(" ", 5) for line in file]
        here = [int(row[0]) for row in rows if _unescaped(row[4]) == self.place]
        if self.number not in here:
            return False
        if here[-1] != self.number:
            raise BusyError(f"something else is mounted over {self.place}", hint="unmount that first")
        status = os.stat(self.place)
        return (status.st_dev, status.st_ino) == (self.device, self.inode)

    def write(self) -> None:
        fields = {name: getattr(self, name) for name in self.__slots__}
        records.write_file(f"{RUN}/{self.id}", records.encode(fields), durable=False)


def mount(store: "Store", tree: "Tree", place: str = "") -> str:
    """Mount `tree` on the directory `place` and return the directory: read-only if it is sealed, always nosuid and
    nodev, ids as on disk. The tree is locked as long, exclusively unless it is sealed.

    BusyError: it is mounted already, or in use.
    """
    if os.geteuid():
        raise Error("only root can mount on the host", hint="look into a tree without it: treesmith launch TREE")
    own = not place
    place = f"{PLACES}/{tree.name or tree.id}" if own else _checked(store, place)
    at = where(tree.id)
    if at:
        raise BusyError(f"{tree.title} is mounted already", f"on {at}", f"treesmith umount {tree.title}")
    _folder(RUN)
    lock = store.lock(tree.id, exclusive=not tree.sealed)
    record = None
    try:
        record = locks.attempt(f"{RUN}/{tree.id}", exclusive=True)
        if not record:
            raise locks.busy(tree.title, tree.id)
        _clear(tree.id)
        if own:
            _folder(place)
        mounted = _attach(store, store.read(tree.id, tree.name), place, own)
        try:
            _leave_holder(mounted, lock, record)
        except BaseException:
            umount(place, _NOFOLLOW)
            raise
    except BaseException:
        if record:
            record.remove()
        raise
    finally:
        lock.close()
    record.close()
    return place


def unmount(mounted: Mounted) -> None:
    """Returns when the tree is free again. BusyError: somebody uses a file of it."""
    if mounted.exists():
        _umount(mounted)
    path = f"{RUN}/{mounted.id}"
    for _ in range(_PATIENCE):
        try:
            record = locks.attempt(path, exclusive=True, create=False)
        except FileNotFoundError:
            return
        if record:
            _drop(mounted, record)
            return
    raise BusyError(f"whoever mounted {mounted.name or mounted.id} does not let go of it", hint=f"see: fuser {path}")


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
    """Unmount what a dead holder left of a tree, before somebody else writes to it. BusyError: it is in use."""
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
        _clear(id)
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


def _clear(id: str) -> None:
    """What a dead holder's record speaks of; the record's lock is held."""
    mounted = _read(id)
    if mounted:
        if mounted.exists():
            _umount(mounted)
        _remove_place(mounted)


def _drop(mounted: Mounted, record: locks.Lock) -> None:
    _remove_place(mounted)
    record.remove()


def _remove_place(mounted: Mounted) -> None:
    if mounted.own:
        try:
            os.rmdir(mounted.place)
        except OSError:
            pass  # somebody put something there, or took it away


def _umount(mounted: Mounted) -> None:
    try:
        umount(mounted.place, _NOFOLLOW)
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


def _checked(store: "Store", place: str) -> str:
    place = os.path.realpath(place)
    if not os.path.isdir(place):
        raise UsageError(f"{place} is no directory", hint=f"mkdir {place}")
    if place == "/" or f"{store.path}/".startswith(f"{place}/") or f"{place}/".startswith(f"{store.path}/"):
        raise UsageError(f"nothing can be mounted on {place}", "it holds the store, or lies in it")
    return place


def _folder(path: str) -> None:
    """0700 all the way: what lies below has unshifted ids."""
    above = os.path.dirname(path)
    if not os.path.isdir(above):
        _folder(above)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass


def _attach(store: "Store", tree: "Tree", place: str, own: bool) -> Mounted:
    """Write the record, then mount: so nothing is ever mounted that no record tells of."""
    view = store.backend.open(tree, "ro" if tree.sealed else "rw")
    try:
        root = view.mount()
        try:
            if tree.sealed:
                set_attributes(root, RDONLY)
            status = os.fstat(root)
            mounted = Mounted(tree.id, tree.name, place, own, _number(root), status.st_dev, status.st_ino)
            mounted.write()
            onto = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                move_mount(root, onto)
            finally:
                os.close(onto)
        finally:
            os.close(root)
    finally:
        view.close()
    return mounted


def _number(mount: int) -> int:
    """The id that the mount will have in mountinfo: proc_pid_fdinfo(5)."""
    with open(f"/proc/self/fdinfo/{mount}") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("mnt_id:"))


def _leave_holder(mounted: Mounted, lock: locks.Lock, record: locks.Lock) -> None:
    """A process of its own session, which keeps both locks until the mount is gone."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            _hold(mounted, lock, record)
    finally:
        os._exit(0)


def _hold(mounted: Mounted, lock: locks.Lock, record: locks.Lock) -> None:
    import select
    import signal

    def terminated(*_: object) -> None:
        """The machine goes down, or somebody is in a hurry: unmount if nobody is inside, else stay."""
        try:
            umount(mounted.place, _NOFOLLOW)
        except OSError:
            pass

    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, terminated)
    os.chdir("/")
    table = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
    keep = {lock.fileno(), record.fileno(), table}
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in keep:
            try:
                os.close(int(name))
            except OSError:
                pass  # the listing's own
    for fd in range(3):
        if fd not in keep:
            os.open("/dev/null", os.O_RDWR)  # the lowest free number
    poll = select.poll()
    poll.register(table, select.POLLPRI | select.POLLERR)  # proc_pid_mountinfo(5): told of every change
    while _there(table, mounted):
        poll.poll()
    lock.close()
    _drop(mounted, record)


def _there(table: int, mounted: Mounted) -> bool:
    """Is it still mounted, covered by another or not? Also takes note, for poll, of the table as it is now."""
    os.lseek(table, 0, os.SEEK_SET)
    text = b""
    while part := os.read(table, 1 << 16):
        text += part
    rows = [line.split(b" ", 5) for line in text.splitlines()]
    place = os.fsencode(mounted.place)
    return any(int(row[0]) == mounted.number and os.fsencode(_unescaped(os.fsdecode(row[4]))) == place for row in rows)


def _unescaped(field: str) -> str:
    """mountinfo writes space, tab, newline and backslash as \\ooo."""
    if "\\" not in field:
        return field
    first, *rest = field.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)
