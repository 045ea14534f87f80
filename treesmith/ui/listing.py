"""Listings: aligned text in a pipe, drawn on a terminal, or JSON."""

import os
import sys

from treesmith.ui.words import coloured, terminal, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Row = tuple[str, ...]  # a cell may be Styled

DIM, BOLD, RED, GREEN, YELLOW = "dim", "bold", "red", "green", "yellow"
_CODES = {DIM: "2", BOLD: "1", RED: "31", GREEN: "32", YELLOW: "33"}


class Styled(str):
    """A cell that is drawn in a style on a terminal, and is mere text elsewhere."""

    style: str

    def __new__(cls, text: str, style: str) -> "Styled":
        made = super().__new__(cls, text)
        made.style = style
        return made


def table(columns: "Row", rows: "list[Row]", right: "frozenset[str]" = frozenset(), empty: str = "") -> None:
    """Print rows below a heading. right: the columns of figures. empty: what to say on a terminal without rows."""
    if terminal(sys.stdout):
        if not rows:
            print(f"({empty})" if empty else "")
            return
        from treesmith.ui.drawn import draw

        draw(columns, rows, right)
        return
    for line in aligned(columns, rows, right):
        print(line)


def aligned(columns: "Row", rows: "list[Row]", right: "frozenset[str]" = frozenset()) -> "list[str]":
    """The lines of a plain table: two spaces between columns, none at a line's end."""
    shown = [tuple(visible(cell) for cell in row) for row in [tuple(column.upper() for column in columns), *rows]]
    widths = [max(len(row[at]) for row in shown) for at in range(len(columns))]
    lines = []
    for row in shown:
        cells = []
        for column, cell, width in zip(columns, row, widths, strict=True):
            cells.append(cell.rjust(width) if column in right else cell.ljust(width))
        lines.append("  ".join(cells).rstrip())
    return lines


def fields(pairs: "list[tuple[str, str]]") -> None:
    """Print named values, one a line; a value of several lines is indented below itself."""
    width = max((len(name) for name, _ in pairs), default=0) + 2
    for name, value in pairs:
        first, *more = value.split("\n")
        print(f"{paint(name.ljust(width), DIM)}{_cell(first, value)}")
        for line in more:
            print(" " * width + _cell(line, value))


def _cell(text: str, of: str) -> str:
    return paint(visible(text), of.style) if isinstance(of, Styled) else visible(text)


def paint(text: str, style: str) -> str:
    return f"\033[{_CODES[style]}m{text}\033[0m" if coloured(sys.stdout) else text


def document(**content: "Any") -> None:
    """Print `content` as the JSON object that every --json prints; "version" grows when a meaning changes."""
    import json

    print(json.dumps({"version": 1, **content}, indent=2))


def say(text: str) -> None:
    """A word to the user beside the output proper."""
    os.write(2, f"{visible(text)}\n".encode(errors="replace"))
