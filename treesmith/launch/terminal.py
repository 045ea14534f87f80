"""The caller's terminal while a container has the keyboard: termios(3), cfmakeraw."""

import _signal  # type: ignore[import-not-found]  # typeshed has none
import os
import termios

from treesmith.linux.call import ioctl, packed

_TIOCGWINSZ, _TIOCSWINSZ = 0x5413, 0x5414


def size(fd: int) -> "tuple[int, int]":
    """(rows, columns); (24, 80) if `fd` is no terminal or does not know."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        columns, rows = 0, 0
    return (rows, columns) if rows and columns else (24, 80)


class Terminal:
    """Raw, its size handed on to the pty `master` whenever it changes, until `restore`."""

    __slots__ = ("_before", "_fd", "_handlers", "_master")

    def __init__(self, fd: int, master: int) -> None:
        self._fd = fd
        self._master = master
        self._before = termios.tcgetattr(fd)
        handlers = ((_signal.SIGWINCH, self._resize), (_signal.SIGTSTP, self._stop), (_signal.SIGCONT, self._resume))
        self._handlers = [(number, _signal.signal(number, handler)) for number, handler in handlers]
        self._resume()

    def restore(self) -> None:
        for number, handler in self._handlers:
            _signal.signal(number, handler)
        self._cooked()

    def _cooked(self) -> None:
        try:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)
        except termios.error:
            pass  # it was hung up

    def _raw(self) -> None:
        mode = termios.tcgetattr(self._fd)
        mode[0] &= ~(
            termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR | termios.IGNCR
            | termios.ICRNL | termios.IXON
        )  # fmt: skip
        mode[1] &= ~termios.OPOST
        mode[2] = mode[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._fd, termios.TCSADRAIN, mode)

    def _resize(self, *_: object) -> None:
        try:
            ioctl(self._master, _TIOCSWINSZ, packed(2, *size(self._fd), 0, 0), "TIOCSWINSZ")
        except OSError:
            pass  # the container is gone

    def _resume(self, *_: object) -> None:
        try:
            self._raw()
        except termios.error:
            return
        self._resize()

    def _stop(self, *_: object) -> None:
        """Somebody else stops us (the keyboard cannot): not with a raw terminal. SIGCONT makes it raw again."""
        self._cooked()
        os.kill(os.getpid(), _signal.SIGSTOP)
