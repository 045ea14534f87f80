"""Handing signals on to a container while it runs."""

import _signal  # type: ignore[import-not-found]  # typeshed has none

from treesmith.sandbox import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.sandbox.process import Process


class Forward:
    """From now on, and until `stop`, what the supervisor is sent goes to the first process inside.

    What the caller has ignored (nohup) stays ignored.
    """

    __slots__ = ("_before", "_process")

    def __init__(self, process: "Process") -> None:
        self._process = process
        numbers = [number for number in signals.FORWARDED if _signal.getsignal(number) != _signal.SIG_IGN]
        self._before = [(number, _signal.signal(number, self._hand_on)) for number in numbers]
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, numbers)

    def stop(self) -> None:
        signals.block()
        for number, handler in self._before:
            _signal.signal(number, handler)

    def _hand_on(self, number: int, _: object) -> None:
        self._process.signal(number)
