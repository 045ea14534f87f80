"""Handing signals on to a container while it runs."""

import _signal  # type: ignore[import-not-found]  # typeshed has none

from treesmith.sandbox import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Forward:
    """From now on, and until `stop`, each forwarded signal that the supervisor is sent is a call of `hand_on`.

    What the caller has ignored (nohup) stays ignored.
    """

    __slots__ = ("_before", "_hand_on")

    def __init__(self, hand_on: "Callable[[int], None]") -> None:
        self._hand_on = hand_on
        numbers = [number for number in signals.FORWARDED if _signal.getsignal(number) != _signal.SIG_IGN]
        self._before = [(number, _signal.signal(number, self._caught)) for number in numbers]
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, numbers)

    def stop(self) -> None:
        signals.block()
        for number, handler in self._before:
            _signal.signal(number, handler)

    def _caught(self, number: int, _: object) -> None:
        self._hand_on(number)
