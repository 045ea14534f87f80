"""What a sandbox may use at most, as a value. How it is kept to that: `enforce`."""

from treesmith.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_LEAST_MEMORY = 1 << 20  # with less nothing starts
_LEAST_PIDS = 2  # the first process, and the command


class Limits:
    """0 and "": no limit."""

    __slots__ = ("cpus", "cpuset", "io_weight", "memory", "pids")

    def __init__(self, memory: int = 0, cpus: float = 0.0, cpuset: str = "", pids: int = 0, io_weight: int = 0) -> None:
        self.memory = memory  # bytes, swap included
        self.cpus = cpus  # processors' worth of time
        self.cpuset = cpuset  # which: "0-3,6"
        self.pids = pids  # processes and threads
        self.io_weight = io_weight  # 1 to 1000, against others; 100 is everybody's

    def __bool__(self) -> bool:
        return bool(self.memory or self.cpus or self.cpuset or self.pids or self.io_weight)

    def named(self) -> "list[tuple[str, str, int | float | str]]":
        """(controller, flag, value) of each."""
        every: list[tuple[str, str, int | float | str]] = [
            ("memory", "--memory", self.memory),
            ("cpu", "--cpus", self.cpus),
            ("cpuset", "--cpuset", self.cpuset),
            ("pids", "--pids", self.pids),
            ("io", "--io-weight", self.io_weight),
        ]
        return [one for one in every if one[2]]


def read(defaults: "dict[str, Any]", memory: str, cpus: str, cpuset: str, pids: str, io_weight: str) -> Limits:
    """From a tree's launch defaults and the flags as typed, which count more. UsageError: one makes no sense."""
    return Limits(
        _size(memory or str(defaults.get("memory", ""))),
        _processors(cpus or str(defaults.get("cpus", ""))),
        _list(cpuset),
        _number("--pids", pids or str(defaults.get("pids", "")), _LEAST_PIDS, 1 << 22),
        _number("--io-weight", io_weight, 1, 1000),
    )


def _size(text: str) -> int:
    if not text:
        return 0
    digits, unit = (text[:-1], text[-1].upper()) if not text[-1].isdecimal() else (text, "")
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 18 or (unit and unit not in _UNITS):
        raise UsageError(f"--memory {text}: no size", "bytes, or with a unit: 512M, 2G")
    size = int(digits) * _UNITS.get(unit, 1)
    if not _LEAST_MEMORY <= size < 1 << 62:
        raise UsageError(f"--memory {text}: too little" if size < _LEAST_MEMORY else f"--memory {text}: too much")
    return size


def _processors(text: str) -> float:
    if not text:
        return 0.0
    if not set(text) <= set("0123456789.") or not text.strip(".") or text.count(".") > 1:
        raise UsageError(f"--cpus {text}: no number of processors", "2, or 0.5")
    number = float(text)
    if not 0.01 <= number <= 8192:
        raise UsageError(f"--cpus {text}: no number of processors", "from 0.01 to 8192")
    return number


def _list(text: str) -> str:
    if text:
        members(text)
    return text


def members(text: str) -> "frozenset[int]":
    """The processors of a list like "0-3,6". UsageError: it is none."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        ends = (first, last) if dash else (first, first)
        if not all(end.isascii() and end.isdecimal() and len(end) < 5 for end in ends) or int(ends[0]) > int(ends[1]):
            raise UsageError(f"--cpuset {text}: no list of processors", "numbers and ranges from 0 on: 0-3,6")
        found.update(range(int(ends[0]), int(ends[1]) + 1))
    return frozenset(found)


def _number(flag: str, text: str, least: int, most: int) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or not least <= int(text) <= most:
        raise UsageError(f"{flag} {text}: not understood", f"a number from {least} to {most}")
    return int(text)
