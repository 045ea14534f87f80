"""What runs in a cgroup, held up where it is, so that a copy of its files is of one point in time.

RUN/ID is locked as long; ID is the sandbox's tree. While it is we who froze the cgroup, the file says which one: a
child thaws it when its parent is done, or is killed; and where the child is killed too, `recover` does. A second line
is a path: if that is there by then, what was frozen lives on in it, and is killed.
"""

import errno
import os
import time

import treesmith
from treesmith import ids
from treesmith.errors import EndedError, Error
from treesmith.linux.file import private_folder
from treesmith.sandbox import cgroup

RUN = f"{treesmith.RUN}/frozen"


class Turn:
    """The right to freeze or thaw what runs in a tree, waited for. What a dead holder froze runs on. A `with` block."""

    __slots__ = ("_path", "file")

    def __init__(self, id: str) -> None:
        private_folder(RUN)
        self._path = f"{RUN}/{id}"
        while True:
            self.file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                if ids.take(self.file, block=True):
                    _thaw(self.file)
                    return
            except BaseException:
                os.close(self.file)
                raise
            os.close(self.file)

    def close(self) -> None:
        os.unlink(self._path)
        os.close(self.file)

    def __enter__(self) -> "Turn":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Standstill:
    """Everything in the cgroup `folder`, which the tree `id` runs in, stands still in this `with` block.

    unless: where this path is there at the end, all of it is killed instead of going on. hold: who has this
    descriptor, too, holds it up.
    EndedError: it has ended. Error: it does not stop within 10 s. took: the milliseconds it stood, when it is over; 0
    if it was frozen before, and still is.
    """

    __slots__ = ("_folder", "_guard", "_since", "_turn", "hold", "took")

    def __init__(self, id: str, folder: str, unless: str = "") -> None:
        self._folder = folder
        self._guard = self.hold = -1
        self._since = self.took = 0.0
        self._turn = Turn(id)
        try:
            if not cgroup.is_frozen(folder):
                os.pwrite(self._turn.file, f"{folder.removeprefix(cgroup.base())}\n{unless}".encode(), 0)
                self._watch()
                self._since = time.monotonic()
                if not cgroup.freeze(folder, True):
                    raise Error("what runs cannot be frozen", "a process inside waits for a device")
        except BaseException as error:
            self._end()
            if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENODEV):
                raise EndedError("what ran has just ended", hint="try again") from None
            raise

    def check(self) -> None:
        """EndedError: it did not stand still all the time."""
        if not (cgroup.is_frozen(self._folder) and cgroup.is_populated(self._folder)):
            raise EndedError("what runs was ended or thawed while it was copied", hint="try again")

    def __enter__(self) -> "Standstill":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        try:
            if self.hold >= 0:
                os.close(self.hold)
                if self._guard > 0:
                    os.waitpid(self._guard, 0)
                _thaw(self._turn.file)  # the guard has, if nobody killed it
                self.took = (time.monotonic() - self._since) * 1000 if self._since else 0.0
        finally:
            self.hold = -1
            self._turn.close()

    def _watch(self) -> None:
        reading, self.hold = os.pipe()
        self._guard = os.fork()
        if self._guard:
            os.close(reading)
            return
        try:
            os.setsid()  # no Ctrl-C that is meant for the parent
            for name in os.listdir("/proc/self/fd"):
                if int(name) not in (reading, self._turn.file):
                    try:
                        os.close(int(name))  # the parent's end of the pipe too, and its locks
                    except OSError:
                        pass  # the listing's own
            os.read(reading, 1)
            _thaw(self._turn.file)
        finally:
            os._exit(0)


def recover() -> None:
    """Let everything go on that dead holders have frozen."""
    try:
        found = os.listdir(RUN)
    except FileNotFoundError:
        return
    for id in found:
        try:
            file = os.open(f"{RUN}/{id}", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        try:
            if ids.take(file):
                _thaw(file)
                os.unlink(f"{RUN}/{id}")
        finally:
            os.close(file)


def _thaw(file: int) -> None:
    """What the file names, which is empty then."""
    place, _, unless = os.pread(file, 8192, 0).decode().partition("\n")
    if not place:
        return
    try:
        if unless and os.path.lexists(unless):
            cgroup.kill(cgroup.base() + place)
        else:
            cgroup.freeze(cgroup.base() + place, False)
    except OSError as error:
        if error.errno != errno.ENODEV:  # it is being removed
            raise
    os.ftruncate(file, 0)
