"""What a step reads, and the key that stands for it.

Facts are flat, label -> value, because they are kept in the record and compared to say why a step runs again. Whatever
can change what a step makes must be a fact: the options, the environment, the program and its version, the bytes, mode
and path of every file. What cannot (times, the step's name, the values of secrets, proxies) must not.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from treesmith.errors import Error
from treesmith.steps.schema import Value
from treesmith.steps.step import Step

_DOMAIN = b"treesmith step 1"


class Inputs(NamedTuple):
    facts: Mapping[str, Value]
    pinned: bool  # nothing outside the facts (a mirror's state, an index) decides what the step makes


class Setting(NamedTuple):
    """What surrounds a step while its inputs are gathered."""

    arch: str  # the machine's word: x86_64, aarch64
    below: tuple[Inputs, ...] = ()  # of the steps before it, the first of the chain first


def key_of(parent: str, facts: Mapping[str, Value], domain: bytes = _DOMAIN) -> str:
    """The SHA-256, in hex, of the parent's key and the facts, in whatever order they come."""
    digest = hashlib.sha256()
    for part in (domain, parent.encode(), *(part for label in sorted(facts) for part in _encoded(label, facts[label]))):
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()


def _encoded(label: str, value: Value) -> Iterable[bytes]:
    """Unambiguous: 1, "1" and true differ, ("ab",) and ("a", "b") too."""
    yield os.fsencode(label)
    match value:
        case bool() | int():
            yield f"{type(value).__name__} {int(value)}".encode()
        case str():
            yield b"str"
            yield os.fsencode(value)
        case _:
            yield b"list %d" % len(value)
            yield from map(os.fsencode, value)


def host_path(step: Step, option: str, path: str = "") -> str:
    """The absolute path of a file option (or of `path`, one of its values), links resolved. Error: it leaves the
    recipe's folder, or is not there.
    """
    given = path or step.text(option)
    folder = os.path.realpath(step.folder)
    real = os.path.realpath(os.path.join(folder, given))
    if real != folder and not real.startswith(folder.rstrip("/") + "/"):
        raise step.error(f"{option}: {given} leaves the recipe's folder", option, hint=f"put it below {folder}")
    if not os.path.lexists(real):
        raise step.error(f"{option}: there is no {given}", option, f"looked in {folder}")
    return real


def file_facts(path: str, label: str) -> dict[str, Value]:
    """Facts of a host file, link or folder (with everything below it): its mode, and its content or target."""
    facts: dict[str, Value] = {}
    for name, entry in entries(path):
        facts[f"{label}/{name}" if name else label] = described(entry)
    return facts


def entries(path: str) -> Iterable[tuple[str, str]]:
    """`path` ("" relative to itself) and what lies below it, sorted: (relative path, path). Links are not followed.

    Python's caches are left out: they are made by running what is copied.
    """
    yield "", path
    if os.path.islink(path) or not os.path.isdir(path):
        return
    for entry in sorted(os.scandir(path), key=lambda entry: os.fsencode(entry.name)):
        if entry.name == "__pycache__" or entry.name.endswith(".pyc"):
            continue
        for name, below in entries(entry.path):
            yield (f"{entry.name}/{name}" if name else entry.name), below


def described(path: str) -> str:
    """A host file, link or folder itself, as a fact."""
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return f"link {os.readlink(path)}"
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    if stat.S_ISDIR(status.st_mode):
        return f"folder {mode}"
    if stat.S_ISREG(status.st_mode):
        return f"file {mode} {digest_of(path)}"
    return f"special {status.st_mode:o} {status.st_rdev}"  # refused by whoever would read it


def digest_of(path: str) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verified(step: Step, option: str) -> str:
    """The digest of the file that `option` names. Error: it is not what the step's `sha256` says."""
    digest = digest_of(host_path(step, option))
    if step.text("sha256").lower() not in ("", digest):
        raise Error(f"{step.text(option)} is not the file that was meant", f"its SHA-256 is {digest}")
    return digest
