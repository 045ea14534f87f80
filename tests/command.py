"""Driving the real command, as a child process, on a store of the test's own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import roots

import treesmith
from treesmith.store import Store, Tree, mounted

HERE = str(Path(treesmith.__file__).parent.parent)
Result = subprocess.CompletedProcess[str]
Command = Callable[..., Result]


def environment(store: Path, **more: str) -> dict[str, str]:
    """What the command sees: nothing of the tester's own settings."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(store.parent),
        "LC_ALL": "C.UTF-8",
        "TERM": "xterm-256color",
        "PYTHONPATH": HERE,
        "TREESMITH_STORE": str(store),
        **more,
    }


def on(store: Path) -> Command:
    """The command on a store: `f(*words, status=0, **environment)` is the finished process; status: what it must be."""

    def command(*words: str, status: int | None = 0, **more: str) -> Result:
        argv = [sys.executable, "-m", "treesmith", *words]
        done = subprocess.run(
            argv, env=environment(store, **more), cwd=store.parent, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert status is None or done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return command


def make_tree(store: Store, name: str, **fields: object) -> Tree:
    """A sealed tree with a busybox in it, as a build leaves one."""
    recipe = {"name": name, "path": f"/recipes/{name}.toml", "set": {}, "digest": "0" * 64}
    with store.stage() as stage:
        stage.create()
        view = store.backend.open(stage, "rw")
        root = view.mount()
        try:
            roots.busybox(Path(f"/proc/self/fd/{root}"))
        finally:
            os.close(root)
            view.close()
        return store.publish(stage, "build", name, recipe=recipe, sealed=True, **fields)  # type: ignore[arg-type]


def holder(tree: Tree) -> int:
    """The process that holds a tree's mount: it has the record open."""
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            links = [os.readlink(fd) for fd in folder.iterdir()]
        except OSError:
            continue
        if f"{mounted.RUN}/{tree.id}" in links:
            found.append(int(folder.parent.name))
    assert len(found) == 1
    return found[0]
