"""Where in a TOML file something stands. tomllib does not say, so this scans; only ever on the way to an error."""

import re

Path = tuple[str | int, ...]  # as one indexes the parsed document: ("step", 0, "apt", "packages")

_HEADER = r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]"
_KEY = r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*="""


def line_in(file: str, path: Path) -> int:
    """The line (from 1) of `path` in a file, which may be gone by now."""
    try:
        with open(file, encoding="utf-8", errors="replace") as text:
            return line_of(text.read(), path)
    except OSError:
        return 1


def line_of(text: str, path: Path) -> int:
    """The line (from 1) where `path` stands, or the nearest thing around it that has a line of its own."""
    places = _places(text)
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return 1


def _places(text: str) -> dict[Path, int]:
    places: dict[Path, int] = {}
    counts: dict[str, int] = {}
    table: Path = ()
    quote = ""  # of the multi-line string that this line begins in
    for number, line in enumerate(text.splitlines(), 1):
        if quote:
            quote = "" if line.count(quote) % 2 else quote
            continue
        header, key = re.match(_HEADER, line), re.match(_KEY, line)
        if header:
            names = _split(header[2])
            if header[1] == "[[":
                counts[names[0]] = counts.get(names[0], -1) + 1
            table = _indexed(names, counts)
            places.setdefault(table, number)
        elif key:
            names = _split(key[1])
            for length in range(1, len(names) + 1):
                places.setdefault((*table, *names[:length]), number)
        quote = next((mark for mark in ('"""', "'''") if line.count(mark) % 2), "")
    return places


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _indexed(names: tuple[str, ...], counts: dict[str, int]) -> Path:
    if names[0] in counts:
        return (names[0], counts[names[0]], *names[1:])
    return names
