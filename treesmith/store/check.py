"""Looking for damage: what no crash leaves behind, and what one did leave that nobody has cleared yet.

Nothing is changed here; `kind` says what repair.py can do. The writers' lock is held while looking, so that nothing
seems half there that is merely under way.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from treesmith.backends.folders import is_folder
from treesmith.errors import Error, NotFoundError
from treesmith.linux.mountinfo import unescaped
from treesmith.names import is_entry, is_id
from treesmith.store import index, locks, records
from treesmith.store.create import FOLDERS
from treesmith.store.place import default_path
from treesmith.store.records import Damaged, Tree
from treesmith.store.recovery import unowned
from treesmith.store.store import FILE, VERSION, Store

QUARANTINE = "quarantine"
_REPAIRS = {
    "mode": "chmod 700",
    "folder": "make it",
    "orphan": f"move it to {QUARANTINE}/",
    "tree": f"move it to {QUARANTINE}/, with its record",
    "stray": f"move it to {QUARANTINE}/",
    "link": "remove the link",
    "key": "enter it into keys/",
    "name": "give it a name",
    "leftover": "clear it away",
}


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong. what: a tree's title, or a path in the store. advice: what to do about it.

    kind: a key of _REPAIRS, or "" if repair can do nothing; subject: what it is done to, an id, a path or an orphan.
    """

    what: str
    why: str
    advice: str = ""
    kind: str = ""
    subject: str = ""

    @property
    def repair(self) -> str:
        """What repair would do; "" is nothing."""
        return _REPAIRS.get(self.kind, "")


@dataclass
class Report:
    """trees: how many were looked at. in_use: the titles of those that somebody held, whose roots may just be
    changing. quarantine: how many things lie there. bad: damaged trees; newer: there are records of another version."""

    path: str
    damage: list[Damage] = field(default_factory=list)
    trees: int = 0
    in_use: list[str] = field(default_factory=list)
    quarantine: int = 0
    bad: list[Tree | Damaged] = field(default_factory=list)
    newer: bool = False


def check(path: str = "") -> Report:
    """Look at the store at `path` (default: see place.py). NotFoundError: there is none."""
    path = os.path.abspath(path or default_path())
    lock = None
    try:
        lock = locks.wait(f"{path}/locks/store")
    except OSError:
        pass  # found below
    try:
        return survey(path)
    finally:
        if lock:
            lock.close()


def survey(path: str) -> Report:
    """As `check`; the writers' lock is held."""
    report = Report(path)
    if not is_folder(path) or (not os.path.lexists(f"{path}/{FILE}") and not is_folder(f"{path}/trees")):
        raise NotFoundError(f"no store at {path}", hint="treesmith init makes one")
    report.damage += _itself(path)
    try:
        store = opened(path)
        _ = store.backend
    except Error as error:
        report.damage.append(Damage(FILE, ": ".join(filter(None, (error.brief, error.details))), error.hint))
        return report
    if any(not is_folder(f"{path}/{folder}") for folder in FOLDERS):
        return report
    good = _trees(store, report)
    ids = set(os.listdir(f"{path}/trees"))
    making = _staging(store, report)
    report.damage += _names(store, ids, good, making)
    report.damage += _keys(store, {tree.id: tree for tree in good}, ids)
    named = "no sound record names it"
    for orphan in unowned(store, good):
        what = orphan.removeprefix(f"{path}/")
        if report.newer:
            report.damage.append(Damage(what, f"{named}; one of another version may", "first see to that one"))
        elif report.bad:
            report.damage.append(Damage(what, named, kind="orphan", subject=orphan))
        else:
            report.damage.append(Damage(what, "belongs to no tree", kind="leftover"))
    report.in_use = sorted(tree.title for tree in (*good, *report.bad) if store.in_use(tree.id))
    if is_folder(f"{path}/{QUARANTINE}"):
        report.quarantine = sum(not entry.endswith(".why") for entry in os.listdir(f"{path}/{QUARANTINE}"))
    return report


def opened(path: str) -> Store:
    """The store, for whoever looks at damage: open to others or not. Error: nobody can tell what it is."""
    hint = f'it says {{"version": {VERSION}, "backend": NAME}}, NAME being what keeps the trees'
    try:
        about = records.parse(records.read_file(f"{path}/{FILE}"))
        version, backend = about["version"], about["backend"]
        if not isinstance(backend, str):
            raise ValueError("backend is no string")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Error("it cannot be read", str(error), hint) from None
    if version != VERSION:
        raise Error(
            f"it has version {version!r}, this treesmith knows {VERSION}", hint="use the treesmith that made it"
        )
    return Store(path, backend)


def _itself(path: str) -> Iterator[Damage]:
    status = os.stat(path)
    if status.st_mode & 0o077:
        why = f"others can enter: its mode is {status.st_mode & 0o7777:o}; a setuid file of a tree is theirs to run"
        yield Damage(path, why, kind="mode", subject=path)
    yield from _owned(path, path)
    for folder in FOLDERS:
        if not os.path.lexists(f"{path}/{folder}"):
            yield Damage(folder, "it is missing", kind="folder", subject=f"{path}/{folder}")
        elif not is_folder(f"{path}/{folder}"):
            yield Damage(folder, "it is no directory", f"look what it is, and move it away: {path}/{folder}")
        else:
            yield from _owned(f"{path}/{folder}", folder)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        places = [unescaped(line.split(" ", 5)[4]) for line in file]
    real = os.path.realpath(path)
    for place in places:
        if place.startswith(f"{real}/"):
            yield Damage(place[len(real) + 1 :], "something is mounted there", f"umount {place}")


def _owned(path: str, what: str) -> Iterator[Damage]:
    owner = os.lstat(path).st_uid
    if owner != os.geteuid():
        yield Damage(what, f"it belongs to user {owner}", f"if it is yours: chown {os.geteuid()} {path}")


def _trees(store: Store, report: Report) -> list[Tree]:
    """The trees that are whole."""
    names = index.by_id(store.names())
    good = []
    for entry in sorted(os.listdir(f"{store.path}/trees")):
        home = f"{store.path}/trees/{entry}"
        if not is_id(entry):
            report.damage.append(Damage(f"trees/{entry}", "it is no tree", kind="stray", subject=home))
            continue
        tree = records.survey(home, names.get(entry, ""))
        if tree is None:
            continue
        report.trees += 1
        report.damage += _owned(home, f"trees/{entry}")
        why = tree.why if isinstance(tree, Damaged) else _odd(tree) or "; ".join(store.backend.faults(tree))
        if not why:
            assert isinstance(tree, Tree)
            good.append(tree)
        elif isinstance(tree, Damaged) and _of_another_version(home):
            report.newer = True
            report.damage.append(Damage(tree.title, why, "use the treesmith that made it"))
        else:
            if isinstance(tree, Damaged):
                why = f"its record is of no use ({why}), and while it is there nothing is reclaimed"
            report.bad.append(tree)
            report.damage.append(Damage(tree.title, why, kind="tree", subject=entry))
    return good


def _odd(tree: Tree) -> str:
    """What is wrong with a record of the right shape."""
    if "/" in tree.key or tree.key.startswith("."):
        return f"its key is {tree.key!r}"
    try:
        if not all(isinstance(step, dict) for step in tree.steps):
            return "its steps are no objects"
    except Error as error:
        return error.details
    return ""


def _of_another_version(home: str) -> bool:
    try:
        version = records.parse(records.read_file(f"{home}/{records.FILE}"))["version"]
    except (OSError, ValueError, TypeError, KeyError):
        return False
    return isinstance(version, int) and version != records.VERSION


def _staging(store: Store, report: Report) -> frozenset[str]:
    """The ids that somebody is making."""
    staging = f"{store.path}/staging"
    entries = set(os.listdir(staging))
    held = {entry for entry in entries if entry.endswith(".lock") and not locks.is_free(f"{staging}/{entry}")}
    for entry in sorted(entries):
        lock = entry if entry.endswith(".lock") else f"{entry}.lock"
        if lock not in held and (entry != lock or entry.removesuffix(".lock") not in entries):
            why = "abandoned: whoever was at it is gone"
            report.damage.append(Damage(f"staging/{entry}", why, kind="leftover"))
    return frozenset(entry.removesuffix(".lock").rpartition("-")[2] for entry in held)


def _links(store: Store, folder: str, ids: set[str]) -> Iterator[tuple[str, str, Damage | None]]:
    """(name, id, what is wrong with it) of everything in names/ or keys/."""
    for name in sorted(os.listdir(f"{store.path}/{folder}")):
        path = f"{store.path}/{folder}/{name}"
        id = index.target(path)
        what = f"{folder}/{name}"
        if name in (index.NEW, index.OLD):
            yield name, "", Damage(what, "abandoned: whoever was at it is gone", kind="leftover")
        elif not id or os.readlink(path) != f"../trees/{id}" or (folder == "names" and not is_entry(name)):
            yield name, "", Damage(what, "it is no link that treesmith makes", kind="stray", subject=path)
        elif id not in ids:
            yield name, "", Damage(what, f"tree @{id} is not there", kind="link", subject=path)
        else:
            yield name, id, None


def _names(store: Store, ids: set[str], good: list[Tree], making: frozenset[str]) -> Iterator[Damage]:
    named: dict[str, str] = {}
    for name, id, damage in _links(store, "names", ids):
        if damage:
            yield damage
        elif id in named:
            # NAME and NAME@N: the handing over of a name was cut short.
            extra = max(name, named[id], key=lambda each: "@" in each)
            path = f"{store.path}/names/{extra}"
            kind = "link" if extra.partition("@")[0] in (name, named[id]) and "@" in extra else ""
            why = f"two names of @{id}: {named[id]} and {name}"
            yield Damage(f"names/{extra}", why, "" if kind else f"keep one: rm {path}", kind, path)
        else:
            named[id] = name
    entries = {entry.removesuffix(".lock").rpartition("-")[2] for entry in os.listdir(f"{store.path}/staging")}
    for tree in good:
        if tree.kind != "step" and tree.id not in named and tree.id not in making | entries:
            yield Damage(f"@{tree.id}", f"a {tree.kind} without a name: prune takes it", kind="name", subject=tree.id)


def _keys(store: Store, good: dict[str, Tree], ids: set[str]) -> Iterator[Damage]:
    keys = {}
    for key, id, damage in _links(store, "keys", ids):
        if damage:
            yield damage
        elif id in good and good[id].key != key:
            path = f"{store.path}/keys/{key}"
            yield Damage(f"keys/{key}", f"@{id} was made by another step", kind="link", subject=path)
        else:
            keys[key] = id
    for tree in good.values():
        if tree.kind == "step" and tree.key and tree.key not in keys:
            yield Damage(f"@{tree.id}", "keys/ does not have this step: it would be run again", "", "key", tree.id)
