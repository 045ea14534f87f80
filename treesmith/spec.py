"""What a launch is: the tree's own defaults, then what was asked for. Pure.

Defaults come with a recipe or an image, so they may say what runs, never loosen what it is shut in: no binds, no host
network. That takes a flag.
"""

import os

from treesmith.errors import UsageError
from treesmith.names import is_name
from treesmith.sandbox import signals
from treesmith.sandbox.sandbox import BOOT, COMMAND, NET_ADMIN, SETFCAP, SYS_ADMIN, Bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from treesmith.sandbox.limits import Limits

INIT = "/sbin/init"
NETWORKS = ("none", "host")
_HOSTNAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
_HONOURED = ("command", "user", "env", "chdir", "read-only", "stop-signal", "boot", "memory", "cpus", "pids")


class Spec:
    """A launch. Empty strings and tuples: nothing was said."""

    __slots__ = (
        "binds", "boot", "capabilities", "chdir", "command", "detach", "env", "ephemeral", "filtered", "hostname",
        "ignored", "limits", "name", "network", "no_suid", "quiet", "read_only", "stop_signal", "tty", "user",
    )  # fmt: skip

    def __init__(self) -> None:
        self.command: tuple[str, ...] = ()
        self.user = ""
        self.env: dict[str, str] = {}
        self.chdir = "/"
        self.hostname = ""
        self.network = "none"
        self.binds: tuple[Bind, ...] = ()
        self.boot = False  # the command is an init
        self.capabilities = COMMAND
        self.ephemeral = False
        self.filtered = True  # system calls
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
    hostname: str = "",
    network: str = "",
    seccomp: str = "",
    memory: str = "",
    cpus: str = "",
    cpuset: str = "",
    pids: str = "",
    io_weight: str = "",
    cap_add: "Iterable[str]" = (),
    cap_drop: "Iterable[str]" = (),
    name: str = "",
    boot: bool = False,
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
    spec.chdir = _inside("--chdir", chdir or defaults.get("chdir", "/"))
    spec.binds = tuple(map(_bind, bind))
    spec.hostname = _hostname(hostname) if hostname else ""
    spec.network = _network(network) if network else "none"
    spec.filtered = _seccomp(seccomp)
    if any((memory, cpus, cpuset, pids, io_weight, *(key in defaults for key in ("memory", "cpus", "pids")))):
        from treesmith.sandbox import limits  # who has none does not pay for it

        spec.limits = limits.read(defaults, memory, cpus, cpuset, pids, io_weight)
    _confine(spec, tuple(cap_add), tuple(cap_drop))
    spec.name, spec.quiet, spec.ephemeral = _container(name), quiet, ephemeral
    if "stop-signal" in defaults or not spec.boot:
        spec.stop_signal = _signal(defaults.get("stop-signal", "TERM"))
    spec.read_only = read_only or bool(defaults.get("read-only", False))
    spec.tty = True if tty else False if pipe or detach else None
    spec.detach = detach
    known = (*_HONOURED, "network") if network or defaults.get("network") == "none" else _HONOURED
    spec.ignored = tuple(key for key in defaults if key not in known)
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


def _withhold(spec: Spec, shared: Bind, capable: bool) -> None:
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


def _inside(option: str, path: str) -> str:
    if not path.startswith("/") or ".." in path.split("/"):
        raise UsageError(f"{option} {path}: not a path of the tree", hint="it begins with / and has no .. in it")
    return path


def _bind(text: str) -> Bind:
    fields = text.split(":")
    if len(fields) not in (2, 3) or not all(fields):
        raise UsageError(f"--bind {text}: not understood", hint="--bind SOURCE:TARGET[:ro,noidmap,suid]")
    words = fields[2].split(",") if len(fields) == 3 else []
    for word in words:
        if word not in ("idmap", "noidmap", "ro", "suid"):
            raise UsageError(f"--bind {text}: {word} is no option", "there are: idmap (the default), noidmap, ro, suid")
    if "idmap" in words and "noidmap" in words:
        raise UsageError(f"--bind {text}: idmap and noidmap exclude each other")
    target = _inside(f"--bind {text}:", fields[1])
    if not target.strip("/"):
        raise UsageError(f"--bind {text}: the whole tree would lie below it")
    options = {"idmap": "noidmap" not in words, "read_only": "ro" in words, "suid": "suid" in words}
    return Bind(os.path.abspath(fields[0]), target, **options)


def _hostname(name: str) -> str:
    if len(name) > 64 or not _HOSTNAME.issuperset(name):
        raise UsageError(f"--hostname {name}: no host name", "1 to 64 letters, digits, dots and hyphens")
    return name


def _network(name: str) -> str:
    if name not in NETWORKS:
        raise UsageError(f"--network {name}: there is no such network", f"there are: {', '.join(NETWORKS)}")
    return name


def _seccomp(word: str) -> bool:
    if word not in ("", "on", "off"):
        raise UsageError(f"--seccomp {word}: not understood", "there are: on (the default), off")
    return word != "off"
