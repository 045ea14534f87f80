"""Whom a build tells what it is doing. `ui` has those that show it; `Silent` shows nothing."""

from typing import Protocol


class Report(Protocol):
    def begin(self, n: int, total: int, text: str) -> None:
        """The `n`th of `total` things to do begins."""

    def line(self, text: str) -> None:
        """Its tool printed a line."""

    def tick(self) -> None:
        """Time has passed; a few times a second."""

    def end(self, text: str) -> None:
        """It is done."""

    def say(self, text: str) -> None:
        """Something worth a line of its own."""
