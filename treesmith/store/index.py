"""names/ and keys/: relative links to trees, each replaced by rename. The writers' lock is held for every change."""

import os

from treesmith.names import is_entry, is_id, superseded
from treesmith.store.records import sync_folder

NEW = ".new"  # no name and no key begins with a dot
OLD = ".old"  # what gives its name up, and goes


def read(folder: str) -> "dict[str, str]":
    """name -> id, of every link that looks like one of ours."""
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = {}
        for name in os.listdir(at):
            id = target(name, at)
            if id:
                found[name] = id
        return found
    finally:
        os.close(at)


def read_names(folder: str) -> "dict[str, str]":
    return {name: id for name, id in read(folder).items() if is_entry(name)}


def name_of(folder: str, id: str) -> str:
    """The name that means `id`, the one without a number if there are two; "" if there is none."""
    found = ""
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in os.listdir(at):
            if target(name, at) == id and is_entry(name):
                found = name
                if "@" not in name:
                    break
    finally:
        os.close(at)
    return found


def target(path: str, at: "int | None" = None) -> str:
    """The id that a link names; "" if there is no such link."""
    try:
        id = os.readlink(path, dir_fd=at).rpartition("/")[2]
    except OSError:  # gone, or EINVAL: not a link
        return ""
    return id if is_id(id) else ""


def point(folder: str, name: str, id: str, durable: bool = True) -> None:
    """Make `name` mean `id`."""
    discard(folder, NEW)
    os.symlink(f"../trees/{id}", f"{folder}/{NEW}")
    os.rename(f"{folder}/{NEW}", f"{folder}/{name}")
    if durable:
        sync_folder(folder)


def remember(folder: str, id: str) -> None:
    """Let OLD mean `id`. Not synced: the journal puts it before what comes after it in the same folder."""
    discard(folder, OLD)
    os.symlink(f"../trees/{id}", f"{folder}/{OLD}")


def discard(folder: str, name: str) -> None:
    try:
        os.unlink(f"{folder}/{name}")
    except FileNotFoundError:
        pass


def next_superseded(names: "dict[str, str]", name: str) -> str:
    """NAME@N with the N after the highest there is."""
    numbers = [int(number) for base, _, number in (entry.partition("@") for entry in names) if base == name and number]
    return superseded(name, max(numbers, default=0) + 1)


def by_id(names: "dict[str, str]") -> "dict[str, str]":
    """id -> name. While a name is handed over an id may have two: then the one without a number."""
    return {id: name for name, id in sorted(names.items(), key=lambda item: ("@" in item[0], item[0]), reverse=True)}
