"""The words of a Dockerfile: quotes, escapes and variables, as BuildKit's shell lexer takes them."""

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_DIRECTIVE = re.compile(r"\s*#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*")


def escape(text: str) -> str:
    """The character that escapes, which a directive in the first lines may change."""
    for line in text.splitlines():
        found = _DIRECTIVE.fullmatch(line)
        if not found:
            break
        if found[1].lower() == "escape":
            return found[2]
    return "\\"


def expand(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """`text` with its quotes and escapes taken away and its variables filled in. ValueError: it cannot be."""
    return _Word(text, variables, escape).whole()


class _Word:
    def __init__(self, text: str, variables: Mapping[str, str], escape: str) -> None:
        self.text, self.variables, self.escape = text, variables, escape
        self.at = 0

    def whole(self) -> str:
        said, _ = self.until("")
        return said

    def until(self, end: str) -> tuple[str, bool]:
        """(what stands before an unquoted `end`, whether that was there)"""
        said = ""
        while self.at < len(self.text):
            character = self.text[self.at]
            self.at += 1
            if character == end:
                return said, True
            if character == "'":
                close = self.text.find("'", self.at)
                if close < 0:
                    raise ValueError(f"{self.text}: a ' without another")
                said += self.text[self.at : close]
                self.at = close + 1
            elif character == '"':
                said += self.quoted()
            elif character == self.escape and self.at < len(self.text):
                said += self.text[self.at]
                self.at += 1
            elif character == "$":
                said += self.variable()
            else:
                said += character
        return said, False

    def quoted(self) -> str:
        said = ""
        while self.at < len(self.text):
            character = self.text[self.at]
            self.at += 1
            if character == '"':
                return said
            if character == self.escape and self.text[self.at : self.at + 1] in ('"', "$", self.escape):
                said += self.text[self.at]
                self.at += 1
            else:
                said += self.variable() if character == "$" else character
        raise ValueError(f'{self.text}: a " without another')

    def variable(self) -> str:
        braced = self.text[self.at : self.at + 1] == "{"
        found = _NAME.match(self.text, self.at + braced)
        if not found:
            if braced:
                raise ValueError(f"{self.text}: ${{…}} without a name")
            return "$"
        name = found[0]
        self.at = found.end()
        if not braced:
            return self.variables.get(name, "")
        value = self.variables.get(name)
        how = re.compile(r":?[-+?]|").match(self.text, self.at)
        self.at = how.end() if how else self.at
        mark = how[0] if how else ""
        if not mark and self.text[self.at : self.at + 1] != "}":
            raise ValueError(f"{self.text}: only ${{X}}, ${{X:-y}}, ${{X:+y}} and ${{X:?y}} are understood")
        word, closed = self.until("}")
        if not closed:
            raise ValueError(f"{self.text}: ${{ without }}")
        there = bool(value) if mark.startswith(":") else value is not None
        match mark[-1:]:
            case "-":
                return value if there and value is not None else word
            case "+":
                return word if there else ""
            case "?" if not there:
                raise ValueError(f"{name}: {word or 'is not set'}")
        return value or ""
