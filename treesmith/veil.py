"""What programs say, without the secrets that they were given: bytes in, bytes out. Pure.

A secret's lines are hidden, as they are: what a program makes of one before it says it, its base64, is not known.
"""

from collections.abc import Iterable

_SHORTEST = 4  # bytes: a line of less could be part of anything
_LONGEST = 65536  # bytes of a line that is waited for
_INSTEAD = b"***"


class Veil:
    def __init__(self, secrets: Iterable[bytes]) -> None:
        lines = {line.strip() for secret in secrets for line in secret.splitlines()}
        self._words = sorted((line for line in lines if len(line) >= _SHORTEST), key=len, reverse=True)
        self._rest = b""

    def take(self, data: bytes) -> bytes:
        """What can be seen by now: whole lines, and of one without an end all but what may be the beginning of more."""
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        if len(data) - end > _LONGEST:
            data = self._hidden(data)
            end = len(data) - len(self._words[0]) + 1 if self._words else len(data)
        self._rest = data[end:]
        return self._hidden(data[:end])

    def end(self) -> bytes:
        rest, self._rest = self._rest, b""
        return self._hidden(rest)

    def _hidden(self, data: bytes) -> bytes:
        for word in self._words:
            data = data.replace(word, _INSTEAD)
        return data
