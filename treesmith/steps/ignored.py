"""What a .dockerignore leaves out. Patterns are Go's filepath.Match, and ** for any folders; the last that fits counts.

They hold for paths relative to the folder the file lies in, and for all that is below what they fit.
"""

import posixpath
import re
from collections.abc import Iterable


class Ignored:
    """`text`: the file's. UsageError is the caller's to make of a ValueError: a pattern is none."""

    def __init__(self, text: str) -> None:
        self._patterns: list[tuple[re.Pattern[str], bool]] = []
        for line in text.removeprefix("\ufeff").splitlines():
            pattern = line.strip()
            if not pattern or line.startswith("#"):
                continue
            keeps = pattern.startswith("!")
            path = posixpath.normpath(pattern.removeprefix("!").strip()).lstrip("/")
            if path != ".":
                self._patterns.append((_compiled(path), keeps))

    def leaves_out(self, path: str) -> bool:
        """Whether it does `path`, were it alone."""
        parts = path.split("/")
        above = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        out = False
        for pattern, keeps in self._patterns:
            if out == keeps and any(map(pattern.fullmatch, above)):
                out = not keeps
        return out

    def kept(self, paths: Iterable[str]) -> set[str]:
        """Of these paths those that stay, and the folders that these are in."""
        kept: set[str] = set()
        for path in paths:
            if not self.leaves_out(path):
                while path and path not in kept:
                    kept.add(path)
                    path = posixpath.dirname(path)
        return kept


def _compiled(pattern: str) -> re.Pattern[str]:
    text, at = "", 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*" and pattern[at : at + 1] == "*":
            at += 1
            if pattern[at : at + 1] == "/":  # also of no folder
                at += 1
                text += "(?:.*/)?"
            else:
                text += ".*"
        elif character == "*":
            text += "[^/]*"
        elif character == "?":
            text += "[^/]"
        elif character == "[":
            end = pattern.find("]", at + 2 if pattern[at : at + 1] == "^" else at + 1)
            if end < 0:
                raise ValueError(f"{pattern!r} has a [ without a ]")
            inverted = "^" if pattern[at] == "^" else ""
            chosen = pattern[at + len(inverted) : end].replace("[", r"\[").replace("^", r"\^")
            text += f"[{inverted}{chosen}]"
            at = end + 1
        elif character == "\\" and at < len(pattern):
            text += re.escape(pattern[at])
            at += 1
        else:
            text += re.escape(character)
    try:
        return re.compile(text, re.DOTALL)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no pattern: {error}") from None
