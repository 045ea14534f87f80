"""launch."""

from treesmith import spec
from treesmith.launch import launch as run
from treesmith.store.store import open_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.verbs.declare import Asked


def launch(
    asked: "Asked",
    tree: str,
    command: "tuple[str, ...]",
    bind: "tuple[str, ...]",
    setenv: "tuple[str, ...]",
    user: str,
    chdir: str,
    hostname: str,
    network: str,
    ephemeral: bool,
    read_only: bool,
    tty: bool,
    pipe: bool,
    name: str,
) -> int:
    store = open_store(asked.store)
    found = store.find(tree)
    wanted = spec.make(
        found.launch, command, user=user, chdir=chdir, setenv=setenv, bind=bind, hostname=hostname, network=network,
        name=name, ephemeral=ephemeral, read_only=read_only, tty=tty, pipe=pipe, quiet=asked.quiet,
    )  # fmt: skip
    return run(store, found, wanted)
