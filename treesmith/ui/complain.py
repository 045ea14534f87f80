"""Errors on stderr: what failed, why, what to do about it. One form for all of them, without rich."""

import os
import sys

from treesmith.errors import Error
from treesmith.ui.words import coloured, visible

_RED, _CYAN, _DIM, _OFF = "\033[1;31m", "\033[36m", "\033[2m", "\033[0m"


def complain(error: Error) -> None:
    red, cyan, dim, off = (_RED, _CYAN, _DIM, _OFF) if coloured(sys.stderr) else ("", "", "", "")
    lines = [f"{red}treesmith:{off} {visible(error.brief)}"]
    lines += [f"  {dim}{visible(line)}{off}" for line in error.details.splitlines()]
    lines += [f"  {cyan}{visible(line)}{off}" for line in error.hint.splitlines()]
    _print(lines)


def unexpected(error: BaseException, verbose: bool) -> None:
    """A failure that nobody foresaw: one line, or everything."""
    if verbose:
        import traceback

        _print("".join(traceback.format_exception(error)).splitlines())
        return
    if isinstance(error, OSError) and error.strerror:
        what = f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else error.strerror
    else:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    complain(Error(what, hint="this was not foreseen; --verbose shows where it happened"))


def _print(lines: "list[str]") -> None:
    """stderr is the last resort: when it is closed or full there is nobody left to tell."""
    try:
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass
