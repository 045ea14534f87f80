"""Making a store."""

import os

import treesmith
from treesmith import ids
from treesmith.backends import PREFERRED
from treesmith.backends.choose import Tried, attempt, chosen
from treesmith.errors import Error
from treesmith.store import locks, records
from treesmith.store.store import FILE, VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FOLDERS = ("locks", "names", "keys", "trees", "layers", "staging", "trash", "cache")


def create(
    path: str, backend: str, told: "Callable[[Tried], object]", file: str = FILE, origin: "dict[str, str] | None" = None
) -> None:
    """Make a store in a new or empty directory; one that a dead creator left half-made is finished.

    file: what says that it is one, for a store that nobody is to see before it is FILE; origin: what else it says.

    Error: something else is there, or no backend works on that filesystem (with each one's reason).
    """
    made = not os.path.lexists(path)
    _make_above(os.path.dirname(path))
    os.makedirs(path, 0o700, exist_ok=True)
    foreign = sorted(set(os.listdir(path)) - {*FOLDERS, file, f"{file}.new"})
    if foreign:
        raise Error(f"{path} is not empty", f"it holds {', '.join(foreign[:5])}", "give it a directory of its own")
    lock = None
    try:
        os.chmod(path, 0o700)
        os.makedirs(f"{path}/locks", 0o700, exist_ok=True)
        lock = locks.wait(f"{path}/locks/store")
        if not os.path.exists(f"{path}/{file}"):
            _fill(path, backend, told, file, origin or {})
    except BaseException:
        if not os.path.exists(f"{path}/{file}"):
            if lock:
                lock.remove()
            _take_back(path, made, file)
        raise
    finally:
        if lock:
            lock.close()


def _make_above(path: str) -> None:
    """What is missing above a store is the caller's own, who without root is not whom the store belongs to."""
    if not os.path.isdir(path):
        _make_above(os.path.dirname(path))
        os.mkdir(path, 0o755)
        if treesmith.ROOTLESS:
            os.chown(path, ids.COUNT, ids.COUNT)


def _fill(path: str, backend: str, told: "Callable[[Tried], object]", file: str, origin: "dict[str, str]") -> None:
    for folder in FOLDERS:
        os.makedirs(f"{path}/{folder}", 0o700, exist_ok=True)
    tried = []
    for name in (backend,) if backend else PREFERRED:
        tried.append(attempt(name, path))
        told(tried[-1])
    best = chosen(tried)
    if not best:
        reasons = "\n".join(f"{each.name}: {each.why}" for each in tried)
        raise Error(
            f"no store can be made at {path}", reasons, next((each.advice for each in tried if each.advice), "")
        )
    about = {"version": VERSION, "backend": best.name, **origin}
    records.write_file(f"{path}/{file}.new", records.encode(about) + "\n", True)
    records.sync_folder(path)
    os.rename(f"{path}/{file}.new", f"{path}/{file}")
    records.sync_folder(path)
    records.sync_folder(os.path.dirname(path))


def _take_back(path: str, made: bool, file: str) -> None:
    """Remove what is empty: nothing has been put anywhere yet."""
    try:
        os.unlink(f"{path}/{file}.new")
    except FileNotFoundError:
        pass
    for folder in (*(f"{path}/{name}" for name in FOLDERS), *((path,) if made else ())):
        try:
            os.rmdir(folder)
        except OSError:
            pass
