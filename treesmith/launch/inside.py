"""What a launch is like inside: the sandbox that a tree and a spec come to."""

import os
import sys

from treesmith.sandbox.sandbox import PATH, Bind, Sandbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.launch.network import Lease
    from treesmith.launch.network.alone import Alone
    from treesmith.sandbox.view import View
    from treesmith.spec import Spec
    from treesmith.store.records import Tree


def make(
    tree: "Tree", spec: "Spec", id: str, lease: "Lease | Alone | None", view: "View", tty: bool, notes: str
) -> Sandbox:
    """id: of what runs, the tree or a throw-away copy of it. notes: see Sandbox."""
    env = {"PATH": PATH, "container": "treesmith", "container_uuid": _uuid(id)}
    if tty:
        env["TERM"] = os.environ.get("TERM", "linux") if not spec.boot or os.isatty(1) else "dumb"
    for key in spec.ignored if not spec.quiet else ():
        sys.stderr.write(f"treesmith: {tree.title}: {key} is not kept yet\n")
    if not (spec.private_users or spec.chroot or spec.quiet):
        sys.stderr.write(f"treesmith: {tree.title}: root inside is this machine's root\n")
    return Sandbox(
        view,
        spec.command,
        env={**env, **spec.env},
        user=spec.user,
        chdir=spec.chdir,
        hostname=hostname(tree, spec),
        network=spec.network,
        link=lease.link if lease else None,
        binds=(*_living_hosts(lease), *spec.binds),
        defaults=(("/etc/hosts", _hosts(hostname(tree, spec))), *_zone()),
        files=(*_identity(id, spec), *(_resolver() if lease else ())),
        tmpfs=(*((path, "") for path in _in_memory(spec)), *spec.tmpfs),
        limits=spec.limits,
        capabilities=spec.capabilities,
        boot=spec.boot,
        private_users=spec.private_users,
        chroot=spec.chroot,
        notify=spec.notify,
        filtered=spec.filtered,
        no_new_privs=spec.chroot,
        nests=spec.boot,
        no_suid=spec.no_suid,
        read_only=spec.read_only,
        tty=window() if tty else None,
        tree=id,
        notes=notes,
    )


def _resolver() -> "tuple[tuple[str, bytes], ...]":
    from treesmith.launch.network import resolver  # only those who have one pay for it

    return resolver()


def window() -> "tuple[int, int]":
    """(rows, columns) of the caller's terminal."""
    from treesmith.launch.terminal import size  # only those who have one pay for it

    return size(0 if os.isatty(0) else 1)


def hostname(tree: "Tree", spec: "Spec") -> str:
    if spec.chroot:
        return os.uname().nodename
    return spec.hostname or (tree.name or tree.id).partition("@")[0]


def _living_hosts(lease: "Lease | Alone | None") -> "tuple[Bind, ...]":
    """Before the default, which then finds a file."""
    return (
        (Bind(lease.hosts, "/etc/hosts", idmap=False, read_only=True, default=True),) if lease and lease.hosts else ()
    )


def _hosts(name: str) -> bytes:
    return f"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {name}\n".encode()


def _zone() -> "tuple[tuple[str, bytes], ...]":
    """The host's time zone, for trees that have none: localtime(5)."""
    try:
        with open("/etc/localtime", "rb") as file:
            return (("/etc/localtime", file.read()),)
    except OSError:
        return ()  # UTC, there as here


def _in_memory(spec: "Spec") -> "tuple[str, ...]":
    if spec.read_only:
        return "/run", "/tmp", "/var/tmp"
    return ("/run", "/tmp") if spec.boot else ()


def _identity(id: str, spec: "Spec") -> "tuple[tuple[str, bytes], ...]":
    """What a system must not have in common with one that was copied from it, or it from that."""
    if not spec.boot:
        return ()
    named = (("/etc/hostname", f"{spec.hostname}\n".encode()),) if spec.hostname else ()
    return (("/etc/machine-id", f"{machine(id)}\n".encode()), *named)


def machine(id: str) -> str:
    """machine-id(5)."""
    return _uuid(id).replace("-", "")


def _uuid(id: str) -> str:
    """A tree's id as a UUID of version 8 (RFC 9562): the same at each launch, another for each copy."""
    return f"{id[:8]}-{id[8:12]}-8{id[13:16]}-8{id[:3]}-{id[4:]}"
