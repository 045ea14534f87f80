"""What a launch is: the tree's own defaults, then what was asked for. Pure.

Defaults come with a recipe or an image, so they may say what runs, never loosen what it is shut in: no host paths, no
host network. That takes a flag.
"""

from treesmith.errors import UsageError
from treesmith.names import is_name
from treesmith.sandbox import signals
from treesmith.sandbox.sandbox import BOOT, COMMAND, NET_ADMIN, SETFCAP, SYS_ADMIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from treesmith.sandbox.limits import Limits
    from treesmith.sandbox.sandbox import Bind
    from treesmith.spec.ports import Port

INIT = "/sbin/init"
NETWORKS = ("none", "private", "host")
_HOSTNAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
_HONOURED = (
    "command", "user", "env", "chdir", "network", "ports", "read-only", "stop-signal", "boot", "notify", "memory",
    "cpus", "pids", "etckeeper",
)  # fmt: skip


class Spec:
    """A launch. Empty strings and tuples: nothing was said."""

    __slots__ = (
        "binds", "boot", "capabilities", "chdir", "chroot", "command", "detach", "env", "ephemeral", "etckeeper",
        "filtered", "from_checkpoint", "hostname", "ignored", "limits", "link_journal", "name", "network", "no_suid",
        "notify", "ports", "private_users", "quiet", "read_only", "stop_signal", "tmpfs", "tty", "user",
    )  # fmt: skip

    def __init__(self) -> None:
        self.command: tuple[str, ...] = ()
        self.user = ""
        self.env: dict[str, str] = {}
        self.chdir = "/"
        self.hostname = ""
        self.network = "none"
        self.ports: tuple[Port, ...] = ()  # of a private network
        self.binds: tuple[Bind, ...] = ()
        self.tmpfs: tuple[tuple[str, str], ...] = ()  # path, size; "" is the kernel's own limit
        self.boot = False  # the command is an init
        self.link_journal = False  # where the host's journalctl finds it
        self.notify = False  # it says by sd_notify(3) when it is ready
        self.capabilities = COMMAND
        self.private_users = True  # else ids inside are the host's
        self.chroot = False  # nothing but mounts and processes is its own; its user is not root
        self.ephemeral = False
        self.etckeeper = False  # what it changes in /etc is committed there at its end
        self.filtered = True  # system calls
        self.from_checkpoint = False  # what is frozen in the tree goes on, as it was
        self.limits: Limits | None = None
        self.no_suid = False  # a bind would hand out to the host what is made setuid inside
        self.read_only = False
        self.tty: bool | None = None  # None: a terminal if stdin and stdout are one
        self.name = ""  # the container's
        self.detach = False  # its supervisor in the background, its output in a log
        self.stop_signal = 0  # what asks it to end; 0: as its init wants to be asked
        self.quiet = False
        self.ignored: tuple[str, ...] = ()  # defaults of the tree that this version does not know to keep


def make(
    defaults: "dict[str, Any]",
    command: "tuple[str, ...]" = (),
    *,
    user: str = "",
    chdir: str = "",
    setenv: "Iterable[str]" = (),
    bind: "Iterable[str]" = (),
    overlay: "Iterable[str]" = (),
    tmpfs: "Iterable[str]" = (),
    port: "Iterable[str]" = (),
    hostname: str = "",
    network: str = "",
    seccomp: str = "",
    isolation: str = "",
    private_users: str = "",
    memory: str = "",
    cpus: str = "",
    cpuset: str = "",
    pids: str = "",
    io_weight: str = "",
    cap_add: "Iterable[str]" = (),
    cap_drop: "Iterable[str]" = (),
    name: str = "",
    boot: bool = False,
    notify: bool = False,
    link_journal: bool = False,
    detach: bool = False,
    ephemeral: bool = False,
    read_only: bool = False,
    tty: bool = False,
    pipe: bool = False,
    quiet: bool = False,
) -> Spec:
    """From a tree's `launch` defaults and the verb's options, as they were typed. UsageError: which makes no sense."""
    if tty and pipe:
        raise UsageError("--tty and --pipe exclude each other")
    if tty and detach:
        raise UsageError("--tty and --detach exclude each other", "nobody is there to type")
    spec = Spec()
    spec.boot = boot or bool(defaults.get("boot", False) and not command)
    if spec.boot and (user or chdir or pipe):
        option = "--user" if user else "--chdir" if chdir else "--pipe"
        raise UsageError(f"{option} and a boot exclude each other", "an init is root, starts in /, and has a console")
    if spec.boot:  # what says how its one command runs is not for it
        defaults = {key: value for key, value in defaults.items() if key not in ("command", "user", "chdir")}
    spec.command = command or ((INIT,) if spec.boot else tuple(defaults.get("command", ())))
    spec.user = user or defaults.get("user", "")
    spec.env = {**defaults.get("env", {}), **dict(map(_variable, setenv))}
    spec.chdir = inside("--chdir", chdir or defaults.get("chdir", "/"))
    if bind or overlay or tmpfs:
        from treesmith.spec import mounts  # here and below: who has none does not pay for it

        spec.binds = (*map(mounts.bind, bind), *map(mounts.overlay, overlay))
        spec.tmpfs = tuple(map(mounts.tmpfs, tmpfs))
    spec.hostname = _hostname(hostname) if hostname else ""
    spec.network = _network(network or ("private" if defaults.get("network") == "private" else "none"))
    spec.ports = _ports(spec.network, tuple(port), defaults.get("ports", ()))
    spec.filtered = _seccomp(seccomp)
    if any((memory, cpus, cpuset, pids, io_weight, *(key in defaults for key in ("memory", "cpus", "pids")))):
        from treesmith.sandbox import limits

        spec.limits = limits.read(defaults, memory, cpus, cpuset, pids, io_weight)
    add = tuple(cap_add)
    _confine(spec, add, tuple(cap_drop))
    if isolation or private_users:
        from treesmith.spec.isolation import loosen  # who has the default does not pay for it

        asked = {"boot": spec.boot, "--cap-add": add, "--network": network, "--hostname": hostname}
        loosen(spec, isolation, private_users, asked)
    spec.name, spec.quiet, spec.ephemeral = _container(name), quiet, ephemeral
    if "stop-signal" in defaults or not spec.boot:
        spec.stop_signal = _signal(defaults.get("stop-signal", "TERM"))
    if link_journal and not spec.boot:
        raise UsageError("--link-journal is for a boot", "a command keeps no journal", "--detach, and treesmith logs")
    spec.link_journal = link_journal
    spec.notify = notify or bool(defaults.get("notify", False) and not command)
    spec.read_only = read_only or bool(defaults.get("read-only", False))
    # Nobody in a chroot is root, whose /etc is.
    spec.etckeeper = bool(defaults.get("etckeeper", False)) and not (spec.read_only or spec.chroot)
    spec.tty = True if tty else False if pipe or detach else None
    spec.detach = detach
    spec.ignored = tuple(key for key in defaults if key not in _HONOURED)
    return spec


def inside(option: str, path: str) -> str:
    """UsageError: it is no absolute path, or leads up."""
    if not path.startswith("/") or ".." in path.split("/"):
        raise UsageError(f"{option} {path}: not a path of the tree", hint="it begins with / and has no .. in it")
    return path


def restored(
    defaults: "dict[str, Any]",
    command: "tuple[str, ...]",
    *,
    name: str = "",
    detach: bool = False,
    quiet: bool = False,
    **others: "Any",
) -> Spec:
    """What is frozen in the tree goes on, as it was launched. UsageError: other options were given."""
    odd = "a command" if command else next((f"--{key.replace('_', '-')}" for key, value in others.items() if value), "")
    if odd:
        raise UsageError(f"--from-checkpoint and {odd} exclude each other", "it goes on as it was launched")
    spec = Spec()
    spec.from_checkpoint, spec.etckeeper = True, bool(defaults.get("etckeeper", False))
    spec.name, spec.detach, spec.quiet, spec.tty = _container(name), detach, quiet, False
    return spec


def _confine(spec: Spec, add: "tuple[str, ...]", drop: "tuple[str, ...]") -> None:
    """What may be done inside, and what that makes impossible together."""
    if spec.boot:
        spec.capabilities = BOOT if spec.network == "host" else BOOT | {NET_ADMIN}
    if add or drop:
        from treesmith.sandbox import capabilities

        spec.capabilities = capabilities.changed(spec.capabilities, add, drop)
    shared = next((bind for bind in spec.binds if bind.hands_out), None)
    if shared:
        _withhold(spec, shared, any(word.upper().endswith("SETFCAP") for word in add))


def _withhold(spec: Spec, shared: "Bind", capable: bool) -> None:
    """Nothing is made setuid or given capabilities inside. UsageError: what was asked for could do it nevertheless."""
    odd = ""
    if SYS_ADMIN in spec.capabilities:  # an overlay copies setuid files up
        odd = "a boot" if spec.boot else "--cap-add SYS_ADMIN"
    elif not spec.filtered or capable:
        odd = "--cap-add SETFCAP" if capable else "--seccomp off"
    if odd:
        raise UsageError(
            f"{odd} does not go with a writable --bind",
            f"what root inside makes setuid in {shared.source} would be so for the host's users, too",
            f"--bind {shared.source}:{shared.target}: with noidmap or ro; or with suid, if no other user reaches it",
        )
    spec.no_suid = True
    spec.capabilities -= {SETFCAP}


def _container(name: str) -> str:
    if name and not is_name(name):
        raise UsageError(f"--name {name}: cannot name a container", "1 to 64 of a-z 0-9 . _ -, first a letter or digit")
    return name


def _signal(name: str) -> int:
    try:
        return signals.number(name)
    except ValueError as error:
        raise UsageError(f"the tree's stop-signal: {error}") from None


def _variable(text: str) -> "tuple[str, str]":
    name, mark, value = text.partition("=")
    if not name or not mark:
        raise UsageError(f"--setenv {text}: no variable and value", hint="--setenv NAME=VALUE")
    return name, value


def _hostname(name: str) -> str:
    if len(name) > 64 or not _HOSTNAME.issuperset(name):
        raise UsageError(f"--hostname {name}: no host name", "1 to 64 letters, digits, dots and hyphens")
    return name


def _network(name: str) -> str:
    if name not in NETWORKS:
        raise UsageError(f"--network {name}: there is no such network", f"there are: {', '.join(NETWORKS)}")
    return name


def _ports(network: str, asked: "tuple[str, ...]", defaults: "Iterable[str]") -> "tuple[Port, ...]":
    """Those that were asked for, or else the tree's own; these only where they can be."""
    if asked and network != "private":
        hint = "--network private" if network == "none" else "on the host's network every port is the host's already"
        raise UsageError(f"--port {asked[0]}: needs a private network, and this is {network}", hint=hint)
    if network != "private":
        return ()
    from treesmith.spec import ports

    return tuple(map(ports.parse, asked or defaults))


def _seccomp(word: str) -> bool:
    if word not in ("", "on", "off"):
        raise UsageError(f"--seccomp {word}: not understood", "there are: on (the default), off")
    return word != "off"
