"""A command more in a container that somebody else supervises."""

import os

from treesmith.errors import BusyError
from treesmith.launch import containers, inside
from treesmith.launch.supervise import begin, stay, streams
from treesmith.sandbox import cgroup, signals
from treesmith.sandbox.enter import enter
from treesmith.sandbox.sandbox import Sandbox
from treesmith.sandbox.standstill import Turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from treesmith.spec import Spec


def join(record: "dict[str, Any]", spec: "Spec") -> int:
    """Run it to its end: its exit status, as `launch`'s."""
    mask = signals.block()
    try:
        pidfd = containers.hold(record)
        if record["cgroup"] and cgroup.is_frozen(record["cgroup"]):
            Turn(record["id"]).close()  # maybe only while it is copied
        if record["cgroup"] and cgroup.is_frozen(record["cgroup"]):
            raise BusyError(f"{record['name']} is frozen", hint=f"treesmith thaw {record['name']}")
        bounds = record["inside"]
        tty = os.isatty(0) and os.isatty(1) if spec.tty is None else spec.tty
        env = {**({"TERM": os.environ.get("TERM", "linux")} if tty else {}), **spec.env}
        sandbox = Sandbox(
            None,  # type: ignore[arg-type]  # its root is mounted already
            spec.command, env=env, user=spec.user, chdir=spec.chdir,
            capabilities=frozenset(bounds["capabilities"]), filtered=bounds.get("filtered", True),
            nests=bounds["nests"], no_new_privs=bounds["no_new_privs"], no_suid=bounds["no_suid"],
            network=bounds["network"], private_users=bounds["private_users"], chroot=bounds["chroot"],
            tty=inside.window() if tty else None,
        )  # fmt: skip
        pid, grouped = record["pid"], bool(record["cgroup"])
        process, ends = begin(sandbox, lambda given, stdio: enter(pid, pidfd, grouped, given, stdio))
        try:
            return stay(process, streams(process, ends))
        finally:
            process.close()
    finally:
        signals.restore(mask)
