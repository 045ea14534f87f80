"""Sizes, times and strange text, in words. Hot: no module but os and time."""

import os
import time


def coloured(stream: object) -> bool:
    """Whether escape sequences may go to `stream`: a terminal, and neither NO_COLOR (no-color.org) nor TERM=dumb."""
    return terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def terminal(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty())


def visible(text: str) -> str:
    """A tool's output or a file's name may hold anything; only what a terminal merely shows goes through."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() or mark == "\t" else repr(mark)[1:-1] for mark in text)


def size(count: "int | None") -> str:
    """Bytes, in units of 1024."""
    if count is None:
        return "unknown"
    amount, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    return f"{amount:.{0 if units[0] == 'B' or amount >= 100 else 1}f} {units[0]}"


def moment(seconds: int) -> str:
    """A time since 1970, local, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def clock(seconds: float) -> str:
    """Elapsed time, as it runs."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
