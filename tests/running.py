"""A container as a launch makes it, but in a test's own process: with the tree's lock, and without a record."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forest import opened, plant
from roots import busybox

from treesmith.sandbox import signals
from treesmith.sandbox.process import Process
from treesmith.sandbox.sandbox import Sandbox
from treesmith.sandbox.start import start
from treesmith.store import Store, Tree

APPLETS = {"busybox", "sh", "sleep", "rm", "mkdir", "touch", "mv", "chmod", "ln", "mkfifo"}


@contextmanager
def running(store: Store, tree: Tree, script: str) -> Iterator[Process]:
    """`script` runs in the tree, and has come to its `echo up`."""
    with store.lock(tree.id, exclusive=True):
        view = store.backend.open(store.read(tree.id), "rw")
        said, saying = os.pipe()
        null = os.open("/dev/null", os.O_RDWR)
        process = start(Sandbox(view, ("sh", "-c", script), tree=tree.id), (null, saying, 2))
        try:
            signals.restore(process.mask)
            os.close(saying)
            assert os.read(said, 3) == b"up\n"
            yield process
        finally:
            process.close()
            view.close()
            os.close(said)
            os.close(null)


def runnable(store: Store, folder: Path) -> Tree:
    """`tree`, writable, a copy of `base`: with a shell and a bit of everything. folder: for what it is made from."""
    for applet in (busybox(folder / "box") / "bin").iterdir():
        if applet.name not in APPLETS:
            applet.unlink()  # each takes its time to copy
    with store.stage() as stage:
        stage.create()
        with opened(store, stage) as root:
            shutil.copytree(folder / "box", root, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(root / "etc")
            plant(root)
            for name in ("proc", "sys", "dev"):
                (root / name).mkdir()
            (root / "holes").unlink()  # it takes long to read
        base = store.publish(stage, "build", "base", sealed=True)
    return store.snapshot(base, "tree")
