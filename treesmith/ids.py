"""Ranges of ids that stand for the users inside a sandbox: user_namespaces(7), subuid(5).

A range is whoever's holds the lock on its file, RUN/ids/SLOT; the file names what must be cleared should
its holder die.
"""

import errno
import fcntl
import os

import treesmith

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = 65536
# 524288 to 1879048191: above what adduser gives out, below what systemd takes for its own purposes (uid 2^31 is -1's
# neighbour for careless programs); see https://systemd.io/UIDS-GIDS.
FIRST_SLOT, LAST_SLOT = 8, 28671


class Ids:
    """`count` ids from `first` on, the same for users and groups, until `close`.

    Without root all have the same ids, and it is the slot alone that nobody else has.
    """

    __slots__ = ("_lock", "count", "first", "path", "slot")

    def __init__(self, slot: int, lock: int, path: str) -> None:
        self.slot = slot
        self.first = 0 if treesmith.ROOTLESS else slot * COUNT
        self.count = COUNT
        self.path = path
        self._lock = lock

    def note(self, text: str) -> None:
        """Leave word for whoever finds the range without its holder."""
        data = text.encode()
        os.pwrite(self._lock, data, 0)
        os.ftruncate(self._lock, len(data))

    def close(self) -> None:
        """Give the range back. Again is harmless."""
        if self._lock < 0:
            return
        os.unlink(self.path)
        self.leave()

    def leave(self) -> None:
        """Let go as one who died does: with the note still there."""
        os.close(self._lock)
        self._lock = -1


def folder() -> str:
    """Where the ranges' files are; `rootless` has imported this before it says where."""
    return f"{treesmith.RUN}/ids"


def allocate(run: str = "") -> Ids:
    """A range that nobody else has: no line of /etc/subuid or /etc/subgid, no other allocation in `run`."""
    from treesmith.linux.file import private_folder  # late: whoever only looks at ranges does without our calls

    run = run or folder()
    private_folder(run)
    taken = () if treesmith.ROOTLESS else (*delegations("/etc/subuid"), *delegations("/etc/subgid"))
    while True:
        slot = FIRST_SLOT + int.from_bytes(os.getrandom(4), "little") % (LAST_SLOT - FIRST_SLOT + 1)
        first, path = slot * COUNT, f"{run}/{slot}"
        if any(first < start + count and start < first + COUNT for _, start, count in taken):
            continue
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if take(lock) and not os.fstat(lock).st_size:  # words in it: a dead one's, for the recovery to read
            return Ids(slot, lock, path)
        os.close(lock)


def abandoned(run: str = "", wait: "Callable[[str], bool] | None" = None) -> "list[tuple[Ids, str]]":
    """The ranges whose holder died, now ours to clear and close, each with the note that it left.

    wait: by its note, is this one dying right now? Then its lock is waited for.
    """
    run = run or folder()
    try:
        slots = [name for name in os.listdir(run) if name.isdecimal()]
    except FileNotFoundError:
        return []
    found = []
    for slot in slots:
        path = f"{run}/{slot}"
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        if take(lock, block=bool(wait and wait(_read(lock)))):
            found.append((Ids(int(slot), lock, path), _read(lock)))
        else:
            os.close(lock)
    return found


def notes(run: str = "") -> "list[str]":
    """What the holders of ranges have left word of, dead ones' too."""
    found, run = [], run or folder()
    try:
        slots = os.listdir(run)
    except FileNotFoundError:
        return []
    for slot in slots:
        try:
            lock = os.open(f"{run}/{slot}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        found.append(_read(lock))
        os.close(lock)
    return found


def take(lock: int, block: bool = False) -> bool:
    """Lock an open file, unless another holds it, or unlinked it between our open and our flock."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if block else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno != errno.EWOULDBLOCK:
            raise
        return False
    return os.fstat(lock).st_nlink > 0


def _read(lock: int) -> str:
    return os.pread(lock, 65536, 0).decode(errors="replace")


def delegations(path: str) -> "list[tuple[str, int, int]]":
    """The ranges that subuid(5) gives to users: whose, the first, how many. Lines that make no sense are none."""
    try:
        with open(path) as file:
            rows = [line.split(":") for line in file.read().splitlines()]
    except FileNotFoundError:
        return []
    rows = [row for row in rows if len(row) == 3 and row[1].isdecimal() and row[2].isdecimal()]
    return [(row[0], int(row[1]), int(row[2])) for row in rows]
