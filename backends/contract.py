"""What every backend promises. Only read by type checkers and by people: hot verbs cannot pay for `typing`.

A store makes a tree in a directory of its own, `staging/X/`, and renames that directory to `trees/ID/`: this is the
commit. A backend keeps the root either inside that directory ("root", it rides along) or elsewhere under a name
made from the id, and says so in the layout. Everything here runs under the store's locks; a backend has none.
"""

from collections.abc import Collection, Iterable
from typing import Any, Literal, Protocol

from treesmith.backends.values import Fork, Traits, Usage
from treesmith.sandbox.view import View

Layout = dict[str, Any]  # the backend's own words, JSON, kept verbatim in tree.json
Mode = Literal["ro", "rw", "ephemeral"]


class Root(Protocol):
    """A root where it lies. The store's Tree and Stage are such."""

    id: str
    home: str  # absolute path of trees/ID, or of staging/X while it is being made
    layout: Layout


class Meter(Protocol):
    """How much roots take on disk, measured now."""

    def usage(self, root: Root) -> Usage:
        """What is found without looking at every file; `apparent` may be missing."""

    def whole(self, root: Root) -> Usage:
        """All of it."""

    def gone(self, root: Root) -> None:
        """From now on as if it had been removed."""


class Compaction(Protocol):
    """Some roots, stored in less. The store makes it, and then publishes the roots' new layouts one after the other:
    what the old ones name stays until no record names it."""

    trees: list[str]  # the ids of the roots
    what: str  # in a few words
    bytes: int  # what comes back

    def make(self, id: str) -> None:
        """Make it, durably, beside what is there. `id`: of a stage, which holds until the layouts are published."""

    def after(self, id: str, layout: Layout) -> Layout | None:
        """After `make`: the layout that keeps what `layout` does. None: it does not concern that one any more."""


class Backend(Protocol):
    """Made for one store: `keeper(name, store)`. Every error is an OSError or a treesmith Error."""

    name: str
    traits: Traits

    def probe(self) -> Traits:
        """Try the real operations under `staging/` and set `traits`. Error: why it does not work here."""

    def create(self, id: str, home: str) -> Layout:
        """An empty root (0755, root:root)."""

    def fork(self, source: Root, id: str, home: str, throwaway: bool = False, running: bool = False) -> Fork:
        """A copy-on-write copy. A writable source has no writer now (the caller holds its lock).

        What the source's new layout names is durable on return, the copy is not. throwaway: it is gone before its
        source is written to again, so the source need not change. running: a program runs in the source and goes on
        afterwards, so the source cannot change; it stands still now if `traits.live` is "freeze", and the copy is of
        one point in time.
        """

    def seal(self, root: Root) -> Layout:
        """Nobody writes any more. Idempotent."""

    def keep(self, root: Root) -> None:
        """What `fork` made outside of the root's home is durable on return. For a fork that no file data were written
        for; else there is `flush`."""

    def flush(self, root: Root) -> None:
        """The root's data, and everything in its home, is durable on return."""

    def open(self, root: Root, mode: Mode) -> View:
        """A view of the root. "ephemeral": writable, and what is written need not survive (volatile)."""

    def discard(self, root: Root) -> None:
        """Remove a root that was never published, home and all. Idempotent."""

    def orphans(self, live: Iterable[Root], making: frozenset[str]) -> list[str]:
        """What lies outside the homes and belongs to no record; `making`: the ids whose staging lock is held.

        Called under the writers' lock. An orphan never comes back to life, so it may be cleared outside it.
        """

    def faults(self, root: Root) -> list[str]:
        """What is wrong with a root, whatever its layout says; empty if nothing. A quick look, not at its files."""

    def set_aside(self, orphan: str, folder: str) -> None:
        """Move one of `orphans` into the directory `folder`, or to where it is nobody's orphan."""

    def clear(self, path: str) -> None:
        """Remove one of `orphans`, or a directory in trash/ that was a home. Slow, resumable, idempotent, never
        across a mount."""

    def reclaimable(self, path: str) -> int | None:
        """Bytes that `clear` would give back; None: unknown."""

    def compactions(self, live: Iterable[Root], busy: Collection[str]) -> list[Compaction]:
        """What could be stored in less, of the roots `live`, which are all there are. What `busy` ids need stays."""

    def added(self, root: Root, source: Root | None) -> int | None:
        """Bytes on disk that a root which is not sealed yet has beside what it was forked from (`source`; None: all it
        has), without a look at every file where there is another way. None: unknown."""

    def measure(self, live: Iterable[Root]) -> Meter:
        """How much roots take now; `live` are all there are, and may share."""
