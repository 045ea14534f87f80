"""What trees take: figures in a pipe, bars on a terminal."""

import sys
from typing import TYPE_CHECKING

from treesmith.ui import listing
from treesmith.ui.words import size, terminal, visible

if TYPE_CHECKING:
    from rich.text import Text

    from treesmith.backends.values import Usage

_WIDTH = 30  # characters of the longest bar
_FIGURES = ("own", "shared", "apparent")


def show(rows: "list[tuple[str, Usage]]") -> None:
    """(what, its usage), in this order. A bar is as long as own and shared together, of the most that any has."""
    if terminal(sys.stdout) and rows:
        _draw(rows)
        return
    plain = [(name, *_figures(usage)) for name, usage in rows]
    listing.table(("name", *_FIGURES), plain, frozenset(_FIGURES), empty="no trees")


def _figures(usage: "Usage") -> tuple[str, ...]:
    return size(usage.exclusive), size(usage.shared), size(usage.apparent)


def _draw(rows: "list[tuple[str, Usage]]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("name", overflow="fold")
    table.add_column(Text.assemble(("█", "cyan"), " own ", ("░", "bright_black"), " shared"), no_wrap=True)
    for figure in _FIGURES:
        table.add_column(figure, justify="right", no_wrap=True)
    most = max(1, *((usage.exclusive or 0) + (usage.shared or 0) for _, usage in rows))
    for name, usage in rows:
        table.add_row(Text(visible(name), "bold"), _bar(usage, most), *_figures(usage))
    Console(highlight=False).print(table)


def _bar(usage: "Usage", most: int) -> "Text":
    from rich.text import Text

    if usage.exclusive is None or usage.shared is None:
        return Text("?", "dim")
    both = round((usage.exclusive + usage.shared) * _WIDTH / most)
    own = max(round(usage.exclusive * _WIDTH / most), usage.exclusive > 0)
    return Text.assemble(("█" * own, "cyan"), ("░" * (both - own), "bright_black"))
