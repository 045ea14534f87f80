"""Which backends a directory's filesystem can have, found out by trying each."""

import treesmith
from treesmith.backends import PREFERRED, keeper
from treesmith.errors import Error, NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from treesmith.backends.values import Traits


class Tried:
    """traits: what the backend keeps there; None: it does not work, and `why`. advice: what would make it work; "" if
    nothing would, on that filesystem."""

    __slots__ = ("advice", "name", "traits", "why")

    def __init__(self, name: str, traits: "Traits | None", why: str = "", advice: str = "") -> None:
        self.name = name
        self.traits = traits
        self.why = why
        self.advice = advice


def attempt(name: str, store: str) -> Tried:
    """Try the real operations of one backend in the store at `store`. NotFoundError: there is no such backend.

    A backend's error that has a hint says what the machine lacks; one that has none, that the filesystem is not for it.
    """
    if treesmith.ROOTLESS and name in ("btrfs", "zfs"):
        return Tried(name, None, "only root can remove what it makes")
    try:
        return Tried(name, keeper(name, store).probe())
    except NotFoundError:
        raise
    except Error as error:
        return Tried(name, None, ": ".join(part for part in (error.brief, error.details) if part), error.hint)
    except OSError as error:
        return Tried(name, None, str(error))


def chosen(tried: "Iterable[Tried]") -> "Tried | None":
    """The first that works, of those whose roots can be id-mapped if there is one."""
    working = [each for each in tried if each.traits]
    return next((each for each in working if maps(each)), working[0] if working else None)


def maps(tried: Tried) -> bool:
    """Whether containers can have users of their own there. Without root they all have the same."""
    return treesmith.ROOTLESS or bool(tried.traits and tried.traits.idmap)


def missed(tried: "Iterable[Tried]", name: str) -> "Tried | None":
    """What would be preferred to the backend `name`, and lacks only something that can be had."""
    return next((each for each in tried if each.advice and _rank(each.name) < _rank(name)), None)


def _rank(name: str) -> int:
    return PREFERRED.index(name) if name in PREFERRED else -1
