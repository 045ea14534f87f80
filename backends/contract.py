"""What every backend promises. Only read by type checkers and by people: hot verbs cannot pay for `typing`.

A store makes a tree in a directory of its own, `staging/X/`, and renames that directory to `trees/ID/`: this is the
commit. A backend keeps the root either inside that directory ("root", it rides along) or elsewhere under a name
made from the id, and says so in the layout. Everything here runs under the store's locks; a backend has none.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, Protocol

from treesmith.sandbox.view import View

Layout = dict[str, Any]  # the backend's own words, JSON, kept verbatim in tree.json
Mode = Literal["ro", "rw", "ephemeral"]


class Traits(NamedTuple):
    """What a backend can keep on the filesystem at hand."""

    idmap: bool  # the root can be id-mapped
    live: Literal["atomic", "freeze"]  # how a running tree is snapshotted
    keeps_links: bool  # hard links survive a write through one of them in a fork
    renames_dirs: bool  # a directory that came with a fork can be renamed
    host_path: bool  # home/root is the root, without a mount
    max_depth: int | None  # forks of forks before layers are merged


class Root(Protocol):
    """A root where it lies. The store's Tree and Stage are such."""

    id: str
    home: str  # absolute path of trees/ID, or of staging/X while it is being made
    layout: Layout


class Fork(NamedTuple):
    """The outcome of a fork. `source`, when not None, must be published over the source's record FIRST."""

    source: Layout | None
    child: Layout


class Usage(NamedTuple):
    """Bytes; None is unknown."""

    exclusive: int | None  # what deleting the tree alone would give back
    shared: int | None
    apparent: int | None  # what a plain copy would take


class Backend(Protocol):
    """Made for one store: `keeper(name, store)`. Every error is an OSError or a treesmith Error."""

    name: str
    traits: Traits

    def probe(self) -> Traits:
        """Try the real operations under `staging/` and set `traits`. Error: why it does not work here."""

    def create(self, id: str, home: str) -> Layout:
        """An empty root (0755, root:root)."""

    def fork(self, source: Root, id: str, home: str) -> Fork:
        """A copy-on-write copy. A writable source has no writer now (the caller holds its lock)."""

    def seal(self, root: Root) -> Layout:
        """Nobody writes any more. Idempotent."""

    def flush(self, root: Root) -> None:
        """The root's data is durable on return."""

    def open(self, root: Root, mode: Mode) -> View:
        """A view of the root. "ephemeral": writable, and what is written need not survive (volatile)."""

    def delete(self, root: Root, live: Iterable[Root]) -> None:
        """Remove what only `root` uses; `live`: all others. Slow, resumable, idempotent, never across a mount."""

    def orphans(self, live: Iterable[Root], making: frozenset[str]) -> list[str]:
        """Paths of what belongs to no record; `making`: the ids whose staging lock is held."""

    def clear(self, orphan: str) -> None:
        """Remove one of `orphans`."""

    def usage(self, root: Root, others: Iterable[Root]) -> Usage:
        """Measured now; `others` may share with it."""
