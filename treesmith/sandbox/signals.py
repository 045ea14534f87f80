"""The signals that the one outside hands on to the one inside, and when they may come."""

import _signal  # type: ignore[import-not-found]  # typeshed has none

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FORWARDED = (
    _signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGUSR1, _signal.SIGUSR2, _signal.SIGTERM,
)  # fmt: skip


def number(name: str) -> int:
    """Of a signal as people write it: TERM, SIGTERM, 15, RTMIN+3. ValueError: there is none."""
    word, plus, more = name.upper().removeprefix("SIG").partition("+")
    if word.isascii() and word.isdecimal():
        found = int(word)
    else:
        found = int(getattr(_signal, f"SIG{word}", 0)) if word.isalnum() else 0
    if plus and found:
        found = found + int(more) if more.isascii() and more.isdecimal() else 0
    if not 0 < found <= _signal.SIGRTMAX:
        raise ValueError(f"there is no signal {name}")
    return found


def block() -> "Iterable[int]":
    """From before the first thing that needs cleaning. Returns what `restore` takes.

    Whoever starts children also needs SIGCHLD not to be ignored, as a careless caller may have left it to us: their
    status would be lost.
    """
    if _signal.getsignal(_signal.SIGCHLD) == _signal.SIG_IGN:
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    mask: Iterable[int] = _signal.pthread_sigmask(_signal.SIG_BLOCK, FORWARDED)
    return mask


def restore(mask: "Iterable[int]") -> None:
    """As it was before `block`. What came meanwhile is delivered now: be ready for KeyboardInterrupt."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)


def defaults() -> None:
    """In a child: exec keeps what is blocked and what is ignored, as SIGPIPE and SIGXFSZ are by Python."""
    for number in _signal.valid_signals():
        if _signal.getsignal(number) not in (_signal.SIG_DFL, None):
            _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
