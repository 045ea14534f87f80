"""The commit that a launch ends with, where a step has put the tree's etckeeper to work."""

import fcntl
import os
import select
import sys

from treesmith import etckeeper
from treesmith.errors import Error
from treesmith.launch.forward import Forward
from treesmith.sandbox.sandbox import PATH, Sandbox
from treesmith.sandbox.start import start
from treesmith.store import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.backends.contract import Root
    from treesmith.spec import Spec
    from treesmith.store.store import Store

_ROOM = 4096  # bytes of what is said: whose programs these are is not known
_PATIENCE = 60_000  # ms: nor whether they ever end


def commit(store: "Store", root: "Root", title: str, spec: "Spec") -> None:
    """Commit what it changed in /etc. Where that fails a word is said: the command's own status counts. Whoever sends
    us a signal meanwhile does not want to wait for it.
    """
    try:
        said = _run(store, root, spec)
    except (Error, OSError) as error:
        said = str(error)
    if said:
        sys.stderr.write(f"treesmith: {title}: what changed in /etc is not committed: {said}\n")
        sys.stderr.flush()


def _run(store: "Store", root: "Root", spec: "Spec") -> str:
    """Why it was not done, or ""."""
    view = store.backend.open(root, "rw")
    nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    said = os.memfd_create("said", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    process = None
    try:
        os.ftruncate(said, _ROOM)
        fcntl.fcntl(said, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
        argv = etckeeper.commit_argv("launch", etckeeper.message(spec.command or ("a shell",)))
        env = {"PATH": PATH, "LC_ALL": "C.UTF-8", **etckeeper.environment()}
        box = Sandbox(
            view, tuple(argv), env=env, private_users=spec.private_users, tree=root.id,
            notes=f"{root.home}/{records.POINTS}",
        )  # fmt: skip
        process = start(box, (nothing, said, said))
        forward = Forward(lambda _: process.kill() if process else None)
        try:
            poll = select.poll()
            poll.register(process.pidfd, select.POLLIN)
            if not poll.poll(_PATIENCE):
                process.kill()
            status = process.wait()
        finally:
            forward.stop()
        text = os.pread(said, _ROOM, 0).rstrip(b"\0").decode(errors="replace")
        return " ".join(text.split()) or f"status {status}" if status else ""
    finally:
        if process:
            process.close()
        view.close()
        os.close(nothing)
        os.close(said)
