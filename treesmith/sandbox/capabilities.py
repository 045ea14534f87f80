"""Capabilities by name: capabilities(7)."""

from treesmith.errors import UsageError
from treesmith.names import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
_ALL = "ALL"


def changed(before: "frozenset[int]", add: "Iterable[str]", drop: "Iterable[str]") -> "frozenset[int]":
    """`before`, without what is dropped, or without any at "all", and with what is added. UsageError: no such."""
    added = frozenset(_number("--cap-add", word) for word in add)
    words = list(drop)
    dropped = frozenset(_number("--cap-drop", word) for word in words if word.upper() != _ALL)
    if both := added & dropped:
        raise UsageError(f"{NAMES[min(both)]} is both added and dropped", hint="--cap-add or --cap-drop, not both")
    kept = frozenset() if any(word.upper() == _ALL for word in words) else before
    return (kept | added) - dropped


def _number(option: str, word: str) -> int:
    name = word.upper().removeprefix("CAP_")
    if name in NAMES:
        return NAMES.index(name)
    likely = nearest(name, list(NAMES))
    hint = f"did you mean {likely}?" if likely else "capabilities(7) lists them"
    raise UsageError(f"{option} {word}: there is no such capability", hint=hint)
