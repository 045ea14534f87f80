"""One build at a time makes the trees of a recipe: the second waits, and then finds them made."""

import fcntl
import os
from collections.abc import Iterable
from contextlib import ExitStack

from treesmith.build.report import Report
from treesmith.store import Store


def take(store: Store, names: Iterable[str], report: Report, stack: ExitStack) -> None:
    """Lock the recipes or trees `names` until `stack` ends. All builds take them in the same order: by name."""
    for name in sorted(names):
        lock = os.open(f"{store.path}/locks/build-{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report.say(f"waiting for another build of {name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
