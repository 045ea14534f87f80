"""Mounting trees on the host, each by a small process that holds the tree's lock and the record's (see mounted.py)."""

import os

import treesmith
from treesmith.errors import BusyError, Error, UsageError
from treesmith.linux.file import private_folder
from treesmith.linux.mount import RDONLY, move_mount, set_attributes, umount
from treesmith.linux.mountinfo import unescaped
from treesmith.store import locks
from treesmith.store.mounted import NOFOLLOW, RUN, Mounted, busy, clear, drop, take_down, where

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.store.records import Tree
    from treesmith.store.store import Store

PLACES = f"{treesmith.RUN}/mnt"  # where trees are mounted that were given no directory
_PATIENCE = 500  # times 10 ms: how long a holder may take to see that its mount is gone


def mount(store: "Store", tree: "Tree", place: str = "") -> str:
    """Mount `tree` on the directory `place` and return the directory: read-only if it is sealed, always nosuid and
    nodev, ids as on disk. The tree is locked as long, exclusively unless it is sealed.

    BusyError: it is mounted already, or in use.
    """
    if treesmith.ROOTLESS:
        raise Error("only root can mount on the host", hint="look into a tree without it: treesmith launch TREE")
    own = not place
    place = f"{PLACES}/{tree.name or tree.id}" if own else _checked(store, place)
    at = where(tree.id)
    if at:
        raise BusyError(f"{tree.title} is mounted already", f"on {at}", f"treesmith umount {tree.title}")
    private_folder(RUN)
    lock = store.lock(tree.id, exclusive=not tree.sealed)
    record = None
    try:
        record = locks.attempt(f"{RUN}/{tree.id}", exclusive=True)
        if not record:
            raise busy(tree.title, tree.id)
        clear(tree.id)
        if own:
            private_folder(place)
        mounted = _attach(store, store.read(tree.id, tree.name), place, own)
        try:
            _leave_holder(mounted, lock, record)
        except BaseException:
            umount(place, NOFOLLOW)
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
        take_down(mounted)
    path = f"{RUN}/{mounted.id}"
    for _ in range(_PATIENCE):
        try:
            record = locks.attempt(path, exclusive=True, create=False)
        except FileNotFoundError:
            return
        if record:
            drop(mounted, record)
            return
    raise BusyError(f"whoever mounted {mounted.name or mounted.id} does not let go of it", hint=f"see: fuser {path}")


def _checked(store: "Store", place: str) -> str:
    place = os.path.realpath(place)
    if not os.path.isdir(place):
        raise UsageError(f"{place} is no directory", hint=f"mkdir {place}")
    if place == "/" or f"{store.path}/".startswith(f"{place}/") or f"{place}/".startswith(f"{store.path}/"):
        raise UsageError(f"nothing can be mounted on {place}", "it holds the store, or lies in it")
    return place


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
            umount(mounted.place, NOFOLLOW)
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
    drop(mounted, record)


def _there(table: int, mounted: Mounted) -> bool:
    """Is it still mounted, covered by another or not? Also takes note, for poll, of the table as it is now."""
    os.lseek(table, 0, os.SEEK_SET)
    text = b""
    while part := os.read(table, 1 << 16):
        text += part
    rows = [line.split(b" ", 5) for line in text.splitlines()]
    place = os.fsencode(mounted.place)
    return any(int(row[0]) == mounted.number and os.fsencode(unescaped(os.fsdecode(row[4]))) == place for row in rows)
