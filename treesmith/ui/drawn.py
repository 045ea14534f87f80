"""A listing as rich draws it."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from treesmith.ui.listing import Styled
from treesmith.ui.words import visible

if TYPE_CHECKING:
    from treesmith.ui.listing import Row


def draw(columns: "Row", rows: "list[Row]", right: frozenset[str]) -> None:
    """No borders; a dim heading; the last column wraps, since it is the wordy one."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for at, column in enumerate(columns):
        last = at == len(columns) - 1
        table.add_column(column, justify="right" if column in right else "left", no_wrap=not last, overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell), cell.style if isinstance(cell, Styled) else "") for cell in row))
    Console(highlight=False).print(table)
