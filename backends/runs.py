"""Which layers need not be layers of their own. Pure."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


def runs(stacks: "Iterable[list[str]]", fixed: "Collection[str]" = ()) -> "list[list[str]]":
    """The lines of two or more layers that stand in every stack only together: each has the next one right below it,
    wherever either of them is. None of `fixed` is in one. Stacks and lines have their topmost layer first.
    """
    above: dict[str, set[str]] = {}
    below: dict[str, set[str]] = {}
    for stack in stacks:
        for upper, lower in zip(("", *stack), (*stack, ""), strict=True):
            below.setdefault(upper, set()).add(lower)
            above.setdefault(lower, set()).add(upper)
    joined = {}  # upper -> lower
    for upper, lowers in below.items():
        lower = next(iter(lowers))
        if upper and lower and len(lowers) == len(above[lower]) == 1 and not {upper, lower} & set(fixed):
            joined[upper] = lower
    found = []
    for first in joined.keys() - joined.values():
        line = [first]
        while line[-1] in joined:
            line.append(joined[line[-1]])
        found.append(line)
    return sorted(found)
