"""How long work is shown: lines in a pipe or a log, one live line on a terminal. All of it on stderr.

No threads: the live line moves when a line arrives or when the worker ticks.
"""

import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from treesmith.ui.heard import Heard
from treesmith.ui.words import clock, coloured, duration, terminal, visible

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_INTERVAL = 0.1  # seconds between two drawings


class Quiet:
    """Shows nothing. The others fill in what they show."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(failed=error is not None)

    def begin(self, n: int, total: int, text: str) -> None:
        """Step `n` of `total` begins."""

    def line(self, text: str) -> None:
        """The step's tool printed a line."""

    def tick(self) -> None:
        """Time has passed. To be called a few times a second."""

    def end(self, text: str) -> None:
        """The step is done."""

    def say(self, text: str) -> None:
        """Something worth a line of its own."""

    def stop(self, failed: bool = False) -> None:
        """Nothing is under way any more, and the terminal is as it was. Again is harmless."""


class Lines(Quiet):
    """Plain lines. verbose: the tool's own too."""

    def __init__(self, verbose: bool = False) -> None:
        self._verbose = verbose
        self._place = ""
        self._began = 0.0

    def begin(self, n: int, total: int, text: str) -> None:
        self._place = f"[{n}/{total}]"
        self._began = time.monotonic()
        self.say(f"{self._place} {text}")

    def line(self, text: str) -> None:
        if self._verbose:
            self.say(f"    {text.rstrip()}")

    def end(self, text: str) -> None:
        self.say(f"{self._place} {text or 'done'} ({duration(time.monotonic() - self._began)})")
        self._place = ""

    def say(self, text: str) -> None:
        for line in text.splitlines():
            print(visible(line), file=sys.stderr, flush=True)

    def stop(self, failed: bool = False) -> None:
        if failed and self._place:
            self.say(f"{self._place} failed ({duration(time.monotonic() - self._began)})")
        self._place = ""


class Drawn(Quiet):
    """One live line for the step under way, and one that stays for each that is done."""

    def __init__(self, verbose: bool = False) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, no_color=None if coloured(sys.stderr) else True)
        self._verbose = verbose
        self._live: Live | None = None
        self._heard = Heard()
        self._place = self._text = ""
        self._began = self._drawn = 0.0

    def begin(self, n: int, total: int, text: str) -> None:
        from rich.live import Live

        self.stop()
        self._place, self._text = f"{n}/{total}", visible(text)
        self._began = time.monotonic()
        self._heard = Heard()
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()
        self._draw()

    def line(self, text: str) -> None:
        self._heard.line(text)
        if self._verbose:
            self._console.print("    " + visible(text.rstrip()), style="dim", markup=False)
        self.tick()

    def tick(self) -> None:
        if self._live and time.monotonic() - self._drawn >= _INTERVAL:
            self._draw()

    def end(self, text: str) -> None:
        self._close()
        self._last("green", "✓", text)

    def say(self, text: str) -> None:
        for line in text.splitlines():
            self._console.print(visible(line), markup=False, soft_wrap=True)

    def stop(self, failed: bool = False) -> None:
        if self._live:
            self._close()
            if failed:
                self._last("red", "✗", "failed")

    def _close(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def _last(self, style: str, mark: str, text: str) -> None:
        from rich.text import Text

        took = duration(time.monotonic() - self._began)
        aside = "  ".join(part for part in (visible(text), took) if part)
        line = Text.assemble((mark, style), " ", (self._place, "dim"), " ", self._text, "  ", (aside, "dim"))
        self._console.print(line, overflow="ellipsis", no_wrap=True)

    def _draw(self) -> None:
        assert self._live
        self._drawn = time.monotonic()
        self._live.update(self._picture(), refresh=True)

    def _picture(self) -> "Table":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        elapsed = time.monotonic() - self._began
        frame = _FRAMES[int(elapsed / _INTERVAL) % len(_FRAMES)]
        heard = self._heard
        grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        cells: list[Text | ProgressBar] = [
            Text.assemble((frame, "cyan"), " ", (self._place, "dim"), " ", self._text),
            Text(visible(heard.note), "dim"),
        ]
        if heard.total:
            grid.add_column(width=20)
            grid.add_column(justify="right", no_wrap=True)
            cells += [ProgressBar(heard.total, heard.done, width=20), Text(f"{heard.done}/{heard.total}", "dim")]
        grid.add_column(justify="right", no_wrap=True)
        grid.add_row(*cells, Text(clock(elapsed), "dim"))
        return grid


def progress(quiet: bool, verbose: bool) -> Quiet:
    """The way to show progress here: drawn where stderr is a terminal that can."""
    if quiet:
        return Quiet()
    # A live line needs a cursor that moves. NO_COLOR only takes the colours away.
    moves = terminal(sys.stderr) and os.environ.get("TERM", "dumb") != "dumb"
    return Drawn(verbose) if moves else Lines(verbose)
