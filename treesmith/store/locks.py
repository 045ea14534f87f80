"""Who may do what to which tree: flock(2), and nothing else. Never a pid, an age, or a guess from mounts.

    locks/store            the writers' lock: whoever changes names, keys, or what lies in trees/
    locks/ID               a tree. Shared: to fork, launch or keep a sealed one. Exclusive: to run, seal, change or
                           remove it, and to fork a writable one; a fork of one that runs takes none (staging.py).
    staging/BOOTID-ID.lock a tree that is being made, or a change of several steps: whoever finds it free clears up

Rules.
1. The order: staging lock, tree locks, writers' lock. Whoever has a later one may only *try* for an earlier one.
2. Only the writers' lock is waited for. It is held for renames and their fsyncs, never for a copy, a deletion, or a
   program; so nobody waits long, and nobody who waits holds what a holder waits for.
3. A staging lock is taken on a new file under a fresh id, so nobody competes for it but recovery, which tries.
4. A lock's file may be removed by its exclusive holder only. Whoever gets the lock of a file that has no name any more
   starts again.
5. A lock lives as long as its open file: it is closed on exec, and children made by clone3 exec or die. Nothing is
   inherited on purpose; a container's supervisor holds the locks of its tree.
6. Readers take none. They see a tree whole or not at all, because it comes and goes by rename.
"""

import fcntl
import os
import time

# ms: whoever only looks whether a lock is free holds it for some microseconds, if it is not held up itself meanwhile
_PATIENCE = 100


class Lock:
    """A held lock. `close` lets go; so does the end of the process."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    def close(self) -> None:
        """Again is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def fileno(self) -> int:
        return self._fd

    def handed_over(self) -> int:
        """The open file, which is the caller's now."""
        fd, self._fd = self._fd, -1
        return fd

    def remove(self) -> None:
        """Let go and remove the file. The lock must be exclusive."""
        if self._fd >= 0:
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                pass
            self.close()

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def attempt(path: str, exclusive: bool, create: bool = True, patience: int = _PATIENCE) -> "Lock | None":
    """The lock, or None if somebody else has it. FileNotFoundError if the file is not there and not to be made."""
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0), 0o600)
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            if os.fstat(fd).st_nlink:
                return Lock(path, fd)
        except BlockingIOError:
            if not patience:
                os.close(fd)
                return None
            patience -= 1
            time.sleep(0.001)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def fresh(path: str) -> "Lock | None":
    """The exclusive lock of a new file; None if recovery was quicker and took the file away."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink:
            return Lock(path, fd)
    except BlockingIOError:
        pass
    os.close(fd)
    return None


def is_free(path: str) -> bool:
    """A look, which nobody notices. A file that is not there is free."""
    try:
        lock = attempt(path, exclusive=True, create=False, patience=0)
    except FileNotFoundError:
        return True
    if lock:
        lock.close()
    return lock is not None


def free(path: str) -> "Lock | None":
    """The exclusive lock of a file that nobody else holds; None: somebody does, or it is not there."""
    try:
        return attempt(path, exclusive=True, create=False, patience=0)
    except FileNotFoundError:
        return None


def clear(path: str) -> None:
    """Remove the file of a lock that nobody holds or needs."""
    lock = free(path)
    if lock:
        lock.remove()


def wait(path: str) -> Lock:
    """The exclusive lock of a file that is never removed."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    except BaseException:
        os.close(fd)
        raise
    return Lock(path, fd)
