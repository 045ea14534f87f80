"""What is kept of a detached container: STORE/cache/containers/ID.log, all that it wrote, and ID.json, its record.

Both are made before it is started. At its end the record gets "status", the exit status, and "ended", in seconds since
1970; without, it is still running, or its supervisor was killed. prune removes those of what has ended.
"""

import os
import time

from treesmith.errors import Error, NotFoundError
from treesmith.launch import containers
from treesmith.store import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def begin(record: "dict[str, Any]") -> int:
    """Forget what an earlier container of the same tree left. Returns the log, open for writing."""
    discard(record)
    os.makedirs(_folder(record["store"]), 0o700, exist_ok=True)
    write(record)
    return os.open(log(record), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)


def end(record: "dict[str, Any]", status: int) -> None:
    write({**record, "status": status, "ended": int(time.time())})


def write(record: "dict[str, Any]") -> None:
    path = _path(record, "json")
    told = {key: value for key, value in record.items() if key != "inside"}  # the environment may hold secrets
    records.write_file(f"{path}.new", records.encode(told) + "\n", durable=False)
    os.rename(f"{path}.new", path)


def discard(record: "dict[str, Any]") -> None:
    for end in ("json", "json.new", "log"):
        try:
            os.unlink(_path(record, end))
        except FileNotFoundError:
            pass


def log(record: "dict[str, Any]") -> str:
    return _path(record, "log")


def ended(store: str) -> "list[dict[str, Any]]":
    """The records of detached containers that run no more, the newest last."""
    alive = {one["id"] for one in containers.running(store)}
    found = []
    for name in _listed(store):
        id, _, kind = name.partition(".")
        if kind == "json" and id not in alive:
            try:
                found.append(records.parse(records.read_file(f"{_folder(store)}/{name}")))
            except (OSError, ValueError):
                continue  # it is being removed
    return sorted(found, key=lambda record: record["started"])


def find(store: str, word: str) -> "dict[str, Any]":
    """The record of a container that has a log: a running one, else the last that was called so."""
    try:
        record = containers.find(store, word)
    except NotFoundError:
        last = [one for one in ended(store) if word in (one["name"], one["tree"], f"@{one['id']}")]
        if not last:
            raise NotFoundError(f"no container {word} is known", hint="what is running: treesmith ps") from None
        return last[-1]
    if not os.path.exists(log(record)):
        raise Error(
            f"{record['name']} has no log", "its output goes to whoever launched it", "launch --detach keeps it"
        )
    return record


def size(record: "dict[str, Any]") -> int:
    """Bytes on the disk."""
    return sum(os.stat(path).st_blocks * 512 for end in ("json", "log") if os.path.exists(path := _path(record, end)))


def _listed(store: str) -> "list[str]":
    try:
        return os.listdir(_folder(store))
    except FileNotFoundError:
        return []


def _folder(store: str) -> str:
    return f"{store}/cache/containers"


def _path(record: "dict[str, Any]", end: str) -> str:
    return f"{_folder(record['store'])}/{record['id']}.{end}"
