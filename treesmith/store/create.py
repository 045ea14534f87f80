"""Making a store."""

import os

from treesmith.backends import PREFERRED, keeper
from treesmith.errors import Error, NotFoundError
from treesmith.store import locks, records
from treesmith.store.store import FILE, VERSION

FOLDERS = ("locks", "names", "keys", "trees", "layers", "staging", "trash", "cache")


def create(path: str, backend: str = "") -> None:
    """Make a store in a new or empty directory; one that a dead creator left half-made is finished.

    Error: something else is there, or no backend works on that filesystem (with each one's reason).
    """
    made = not os.path.lexists(path)
    os.makedirs(path, 0o700, exist_ok=True)
    foreign = sorted(set(os.listdir(path)) - {*FOLDERS, FILE, f"{FILE}.new"})
    if foreign:
        raise Error(f"{path} is not empty", f"it holds {', '.join(foreign[:5])}", "give it a directory of its own")
    lock = None
    try:
        os.chmod(path, 0o700)
        os.makedirs(f"{path}/locks", 0o700, exist_ok=True)
        lock = locks.wait(f"{path}/locks/store")
        if not os.path.exists(f"{path}/{FILE}"):
            _fill(path, backend)
    except BaseException:
        if not os.path.exists(f"{path}/{FILE}"):
            if lock:
                lock.remove()
            _take_back(path, made)
        raise
    finally:
        if lock:
            lock.close()


def _fill(path: str, backend: str) -> None:
    for folder in FOLDERS:
        os.makedirs(f"{path}/{folder}", 0o700, exist_ok=True)
    chosen = _first_that_works(path, (backend,) if backend else PREFERRED)
    records.write_file(f"{path}/{FILE}.new", records.encode({"version": VERSION, "backend": chosen}) + "\n", True)
    records.sync_folder(path)
    os.rename(f"{path}/{FILE}.new", f"{path}/{FILE}")
    records.sync_folder(path)
    records.sync_folder(os.path.dirname(path))


def _take_back(path: str, made: bool) -> None:
    """Remove what is empty: nothing has been put anywhere yet."""
    try:
        os.unlink(f"{path}/{FILE}.new")
    except FileNotFoundError:
        pass
    for folder in (*(f"{path}/{name}" for name in FOLDERS), *((path,) if made else ())):
        try:
            os.rmdir(folder)
        except OSError:
            pass


def _first_that_works(path: str, backends: tuple[str, ...]) -> str:
    reasons = []
    for name in backends:
        try:
            keeper(name, path).probe()
        except (Error, OSError) as error:
            reasons.append(error.brief if isinstance(error, NotFoundError) else f"{name}: {error}")
        else:
            return name
    raise Error(f"no store can be made at {path}", "\n".join(reasons))
