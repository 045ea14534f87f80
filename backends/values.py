"""What backends hand out. Plain classes: NamedTuple and dataclass cost a hot verb 8 to 14 ms of imports."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from treesmith.backends.contract import Layout, Root


class Traits:
    """What a backend can keep on the filesystem at hand."""

    __slots__ = ("host_path", "idmap", "keeps_links", "live", "max_depth", "renames_dirs")

    def __init__(
        self,
        idmap: bool,
        live: "Literal['atomic', 'freeze']",
        keeps_links: bool,
        renames_dirs: bool,
        host_path: bool,
        max_depth: "int | None",
    ) -> None:
        self.idmap = idmap  # the root can be id-mapped
        self.live = live  # how a running tree is snapshotted
        self.keeps_links = keeps_links  # hard links survive a write through one of them in a fork
        self.renames_dirs = renames_dirs  # a directory that came with a fork can be renamed
        self.host_path = host_path  # home/root is the root, without a mount
        self.max_depth = max_depth  # forks of forks before layers are merged


class Fork:
    """The outcome of a fork. `source`, when not None, must be published over the source's record FIRST.

    wrote: file data was written, so it has to be flushed before the publish even if nobody else writes any.
    """

    __slots__ = ("child", "source", "wrote")

    def __init__(self, source: "Layout | None", child: "Layout", wrote: bool) -> None:
        self.source = source
        self.child = child
        self.wrote = wrote


class Usage:
    """Bytes on disk; None is unknown."""

    __slots__ = ("apparent", "exclusive", "shared")

    def __init__(self, exclusive: "int | None", shared: "int | None", apparent: "int | None") -> None:
        self.exclusive = exclusive  # what removing the tree alone would give back
        self.shared = shared
        self.apparent = apparent  # what a plain copy would take


class Each:
    """A contract.Meter for roots that are measured one by one, by `measure`."""

    __slots__ = ("usage", "whole")

    def __init__(self, measure: "Callable[[Root], Usage]") -> None:
        self.usage = self.whole = measure

    def gone(self, root: "Root") -> None:
        """Its filesystem knows only when it is."""
