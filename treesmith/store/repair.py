"""Mending what check.py finds. Nothing is deleted but links to nowhere and what dead writers left.

What cannot be understood goes into quarantine/ by one rename, with ENTRY.why beside it, written before. What only
records name that cannot be read goes first, and those records after it: as long as one is there nobody clears up. So
whoever dies on the way leaves a store that the next repair goes on with.
"""

import os

from treesmith.errors import BusyError, Error
from treesmith.sandbox import leftovers
from treesmith.store import index, locks, mounted, records
from treesmith.store.check import QUARANTINE, Damage, Report, check, opened, survey
from treesmith.store.store import Store

_ORDER = ("mode", "folder", "orphan", "tree", "stray", "link", "key", "name")


def repair(path: str) -> tuple[list[Damage], dict[Damage, str], Report]:
    """Mend the store at absolute `path`. Returns what was mended, what would not be and why, and what there is now."""
    done: list[Damage] = []
    stuck: dict[Damage, str] = {}
    first = survey(path)  # NotFoundError: not one thing is made where no store is
    for damage in first.damage:
        if damage.kind == "folder" and damage.what == "locks":
            os.mkdir(damage.subject, 0o700)
            done.append(damage)
    try:
        lock = locks.wait(f"{path}/locks/store")
    except OSError as error:
        raise Error(f"the store at {path} cannot be locked, so nothing is repaired", str(error)) from None
    try:
        while todo := _todo(survey(path), done, stuck):
            for damage in todo:
                try:
                    _mend(path, damage)
                except (Error, OSError) as error:
                    stuck[damage] = str(error).replace("\n", ": ")
                    break  # what comes after may rest on it
                done.append(damage)
    finally:
        lock.close()
    now = check(path)
    waiting = [damage for damage in now.damage if damage.kind == "leftover"]
    if waiting and not now.bad:
        failed = opened(path).recover()
        now = check(path)
        done += [damage for damage in waiting if damage not in now.damage]
        stuck.update((damage, "; ".join(failed)) for damage in waiting if damage in now.damage)
    return done, stuck, now


def _todo(report: Report, done: list[Damage], stuck: dict[Damage, str]) -> list[Damage]:
    """In the order in which it is safe."""
    found = [damage for damage in report.damage if damage.kind in _ORDER and damage not in done]
    why = ""
    if report.newer:
        why = "there are trees of another version, which may be made of it too"
    elif busy := _in_use(report):
        why = f"{', '.join(busy)}: in use"  # and what seems to be nobody's may be theirs
    elif any(damage.kind == "orphan" for damage in stuck):
        why = "what it may be made of could not be moved"
    if why:
        for damage in found:
            if damage.kind in ("orphan", "tree"):
                stuck.setdefault(damage, why)
    return sorted((each for each in found if each not in stuck), key=lambda each: _ORDER.index(each.kind))


def _in_use(report: Report) -> list[str]:
    """Of the damaged trees. What a killed holder ran in them is gone on return."""
    busy = []
    for tree in report.bad:
        try:
            mounted.settle(tree.id)
            lock = locks.attempt(f"{report.path}/locks/{tree.id}", exclusive=True)
        except BusyError:
            lock = None
        if lock:
            leftovers.clear(tree.id)
            lock.close()
        else:
            busy.append(tree.title)
    return busy


def _mend(path: str, damage: Damage) -> None:
    subject = damage.subject
    if damage.kind == "mode":
        os.chmod(subject, 0o700)
        return
    if damage.kind == "folder":
        os.mkdir(subject, 0o700)
        return
    store = opened(path)
    if damage.kind == "link":
        index.discard(*os.path.split(subject))
        records.sync_folder(os.path.dirname(subject))
    elif damage.kind == "key":
        index.point(f"{path}/keys", store.read(subject).key, subject)
    elif damage.kind == "name":
        if store.named(f"found-{subject}"):
            raise BusyError(f"found-{subject} is another tree's name")
        index.point(f"{path}/names", f"found-{subject}", subject)
    elif damage.kind == "tree":
        lock = locks.attempt(f"{path}/locks/{subject}", exclusive=True)
        if not lock:
            raise mounted.busy(damage.what, subject)
        with lock:
            _set_aside(store, f"{path}/trees/{subject}", damage)
            lock.remove()
    else:
        _set_aside(store, subject, damage)


def _set_aside(store: Store, path: str, damage: Damage) -> None:
    folder = f"{store.path}/{QUARANTINE}"
    os.makedirs(folder, 0o700, exist_ok=True)
    entry = base = os.path.basename(path)
    number = 0
    while os.path.lexists(f"{folder}/{entry}"):
        number += 1
        entry = f"{base}.{number}"
    names = [name for name, id in store.names().items() if id == base]
    about = {"was": path.removeprefix(f"{store.path}/"), "why": damage.why, "names": names}
    records.write_file(f"{folder}/{entry}.why", records.encode(about) + "\n", durable=True)
    records.sync_folder(folder)
    if damage.kind == "orphan":
        store.backend.set_aside(path, folder)
    else:
        os.rename(path, f"{folder}/{entry}")
    records.sync_folder(folder)
    if path.startswith("/"):
        records.sync_folder(os.path.dirname(path))
