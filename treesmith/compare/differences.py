"""What two walks do not agree in."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from treesmith.compare.walk import Entry

ASPECTS = frozenset(Entry._fields) - {"path"}


class Difference(NamedTuple):
    """One aspect of one path. `aspect` is a field of Entry, or "added", "removed"; then `old` or `new` is the type."""

    path: str
    aspect: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.path or '/'}: {self.aspect}: {self.old!r} -> {self.new!r}"


def differences(old: Iterable[Entry], new: Iterable[Entry], ignoring: Collection[str] = ()) -> Iterator[Difference]:
    """In the order of the paths. Both in the order of `walk`. ignoring: aspects that may differ (ASPECTS)."""
    unknown = set(ignoring) - ASPECTS
    if unknown:
        raise ValueError(f"no such aspects: {unknown}")
    aspects = sorted(ASPECTS.difference(ignoring))
    ours, theirs = iter(old), iter(new)
    a, b = next(ours, None), next(theirs, None)
    while a or b:
        if b is None or (a and _order(a) < _order(b)):
            assert a
            yield Difference(a.path, "removed", a.type, "")
            a = next(ours, None)
        elif a is None or _order(b) < _order(a):
            yield Difference(b.path, "added", "", b.type)
            b = next(theirs, None)
        else:
            for aspect in aspects if a.type == b.type else ("type",):
                if getattr(a, aspect) != getattr(b, aspect):
                    yield Difference(a.path, aspect, getattr(a, aspect), getattr(b, aspect))
            a, b = next(ours, None), next(theirs, None)


def _order(entry: Entry) -> list[str]:
    return entry.path.split("/") if entry.path else []
