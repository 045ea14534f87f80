"""What is struck: one change of a store, as a program. driver.py STORE CHANGE"""

import os
import sys

from treesmith.errors import Error
from treesmith.store import Store, create_store, open_store


def write(store: Store, root, text: str) -> None:
    view = store.backend.open(root, "ephemeral")
    mount = view.mount()
    os.mkdir("made", dir_fd=mount)
    for name in ("one", "two"):
        file = os.open(f"made/{name}", os.O_WRONLY | os.O_CREAT, dir_fd=mount)
        os.write(file, text.encode())
        os.close(file)
    os.close(mount)
    view.close()


def build(store: Store) -> None:
    """As a build does it: a step from nothing, one from that, and the tree from both, over a name that is taken."""
    with store.stage() as stage:
        stage.create()
        write(store, stage, "first step")
        step = store.publish(stage, "step", key="new-1", steps=[{"tree": stage.id}], sealed=True)
        with store.stage() as second:
            second.fork(step)
            tree = store.publish(
                second, "build", "base", key="new-2", steps=step.steps, launch={"command": ["true"]}, sealed=True
            )
    assert store.find("base").id == tree.id


def replace(store: Store) -> None:
    """Over a name whose tree nobody needs any more, nor the step that hangs on it."""
    with store.stage() as stage:
        stage.create()
        write(store, stage, "anew")
        store.publish(stage, "build", "alone", sealed=True)


def snapshot(store: Store) -> None:
    store.snapshot(store.find("base"), "new")


def snapshot_writable(store: Store) -> None:
    store.snapshot(store.find("web"), "new")


def snapshot_running(store: Store) -> None:
    store.snapshot(store.find("tree"), "new")


def seal(store: Store) -> None:
    store.seal(store.find("web"))


def rename(store: Store) -> None:
    store.rename("web", "new")


def update(store: Store) -> None:
    store.update(store.find("web"), labels={"struck": "yes"}, pin=True)


def remove(store: Store) -> None:
    store.remove([store.find("base")], recursive=True)


def prune(store: Store) -> None:
    from treesmith.store.prune import apply, plan

    failed = apply(store, plan(store))
    if failed:
        raise Error("not everything could be pruned", "\n".join(failed))


def recover(store: Store) -> None:
    failed = store.recover()
    if failed:
        raise Error("not everything could be recovered", "\n".join(failed))


def throwaway(store: Store) -> None:
    with store.throwaway(store.find("web")) as stage:
        write(store, stage, "not for long")


CHANGES = {
    change.__name__: change
    for change in (
        build,
        replace, snapshot, snapshot_writable, snapshot_running, seal, rename, update, remove, prune, recover, throwaway,
    )
}  # fmt: skip

if __name__ == "__main__":
    path, change, *backend = sys.argv[1:]
    try:
        if change == "create":
            create_store(path, *backend)
        else:
            CHANGES[change](open_store(path))
    except (Error, OSError) as error:
        print(error)
        sys.exit(1)
