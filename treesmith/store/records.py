"""A tree's record, tree.json, and the one way to write it.

Reading: CPython's own C scanner without the `json` module, which costs a hot verb 8 ms to import. The steps come last,
on a line of their own, and are read when somebody asks for them: they list every package that each installed, and ten
thousand snapshots of one tree each have them.
"""

import os

from treesmith.errors import Error

try:
    from _json import encode_basestring_ascii as _quoted
except ImportError:
    from json.encoder import encode_basestring_ascii as _quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from treesmith.backends.contract import Layout

VERSION = 1
FILE = "tree.json"
POINTS = "points"  # beside it, while something runs in the tree: see sandbox/point.py
CHECKPOINT, CHECKPOINTING = "checkpoint", "checkpoint.new"  # what ran in it, frozen to disk, or about to be


class Tree:
    """A tree of the store: what its record says, where it is, and its name."""

    __slots__ = (
        "_steps", "called", "created", "home", "id", "key", "kind", "labels", "launch", "layout", "name", "parent",
        "pin", "recipe", "sealed",
    )  # fmt: skip

    def __init__(self, record: "dict[str, Any]", home: str, name: str = "") -> None:
        self.id: str = record["id"]
        self.kind: str = record["kind"]  # step | build | snapshot
        self.parent: str | None = record["parent"]  # the id of the tree this one was forked from
        self.key: str = record["key"]  # a step's, or ""
        self.recipe: dict[str, Any] | None = record["recipe"]
        self._steps: list[dict[str, Any]] | None = record["steps"]  # None until they are asked for
        self.called: str = record["called"]  # the name it was given first; names/ says whether it has it still
        self.created: int = record["created"]  # seconds since 1970
        self.sealed: bool = record["sealed"]
        self.launch: dict[str, Any] = record["launch"]
        self.labels: dict[str, str] = record["labels"]
        self.pin: bool = record["pin"]
        self.layout: Layout = record["layout"]
        self.home = home  # absolute path of trees/ID
        self.name = name  # "" if it has none

    @property
    def title(self) -> str:
        """What to call it in a message."""
        return self.name or f"@{self.id}"

    @property
    def steps(self) -> "list[dict[str, Any]]":
        """What it was made by, the first step first; nothing if it has gone meanwhile. Error: they are damaged."""
        if self._steps is None:
            try:
                text = read_file(f"{self.home}/{FILE}").partition(_STEPS)[2]
                if text not in _known:
                    _known[text] = parse(text.removesuffix("}\n"))
            except (OSError, ValueError) as error:
                if not os.path.lexists(self.home):
                    return []
                raise Error(f"{self.title} is damaged", f"its steps: {error}") from None
            self._steps = list(_known[text])
        return self._steps

    @steps.setter
    def steps(self, steps: "list[dict[str, Any]]") -> None:
        self._steps = steps


_known: "dict[str, list[dict[str, Any]]]" = {}  # JSON -> steps


class Damaged:
    """A tree whose record cannot be read."""

    __slots__ = ("home", "id", "name", "why")

    def __init__(self, id: str, why: str, home: str, name: str = "") -> None:
        self.id = id
        self.why = why
        self.home = home
        self.name = name

    @property
    def title(self) -> str:
        return self.name or f"@{self.id}"


_SHAPE: "tuple[tuple[str, Any], ...]" = (
    ("id", str), ("kind", str), ("parent", (str, type(None))), ("key", str), ("recipe", (dict, type(None))),
    ("called", str), ("created", int), ("sealed", bool), ("launch", dict), ("labels", dict), ("pin", bool),
    ("layout", dict), ("steps", (list, type(None))),
)  # fmt: skip
_STEPS = ',\n"steps": '  # a raw newline is in no string of JSON


def read(home: str, name: str = "") -> Tree:
    """The tree at `home`. FileNotFoundError if nothing is there; ValueError: why its record cannot be used."""
    text = read_file(f"{home}/{FILE}", _STEPS)
    head, mark, _ = text.partition(_STEPS)
    record = parse(head + "}" if mark else text)  # no mark: somebody has edited it
    if mark:
        record["steps"] = None
    if not isinstance(record, dict):
        raise ValueError(f"{FILE} is no object")
    version = record.get("version")
    if version != VERSION:
        raise ValueError(f"{FILE} has version {version!r}, this treesmith reads {VERSION}")
    for key, kind in _SHAPE:
        if not isinstance(record.get(key, ...), kind):
            raise ValueError(f"{FILE}: {key!r} is missing or no {kind}")
    if record["id"] != home.rpartition("/")[2]:
        raise ValueError(f"{FILE} is the record of {record['id']}")
    return Tree(record, home, name)


def survey(home: str, name: str = "") -> "Tree | Damaged | None":
    """As `read`, for whoever goes on past a damaged record. None: it is gone."""
    try:
        return read(home, name)
    except (ValueError, OSError) as error:
        if isinstance(error, FileNotFoundError) and not os.path.lexists(home):
            return None
        why = f"{FILE} is missing" if isinstance(error, FileNotFoundError) else str(error)
        return Damaged(home.rpartition("/")[2], why, home, name)


def write(path: str, tree: Tree, durable: bool = True) -> None:
    """Put the tree's record into the file `path`, and onto the disk."""
    record = {"version": VERSION, **fields(tree)}
    steps = encode(record.pop("steps"))
    write_file(path, f"{encode(record)[:-1]}{_STEPS}{steps}}}\n", durable)


def fields(tree: Tree) -> "dict[str, Any]":
    """What a record says of a tree: what `Tree` is made from."""
    return {key: getattr(tree, key) for key, _ in _SHAPE}


def replace(tree: Tree) -> None:
    """Write the record of a published tree anew, whole and durable. The writers' lock is held."""
    write(f"{tree.home}/{FILE}.new", tree)
    os.rename(f"{tree.home}/{FILE}.new", f"{tree.home}/{FILE}")
    sync_folder(tree.home)


def is_frozen(home: str) -> bool:
    """Whether what ran in a tree is frozen to disk, or a killed checkpoint left some of it."""
    return any(os.path.lexists(f"{home}/{name}") for name in (CHECKPOINT, CHECKPOINTING))


def read_file(path: str, until: str = "") -> str:
    """The text of a file, or what comes before the first `until`, and that. ValueError if it is not UTF-8."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        text, size = b"", 2048 if until else 1 << 16  # most of a record's length is its steps
        while part := os.read(fd, size):
            text += part
            if until and until.encode() in text:
                return text[: text.index(until.encode()) + len(until)].decode()
    finally:
        os.close(fd)
    return text.decode()


def write_file(path: str, text: str, durable: bool) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        data = text.encode()
        while data:
            data = data[os.write(fd, data) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(path: str) -> None:
    """Make the names in a directory durable: fsync(2)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


class _Rules:
    """What CPython's scanner asks of a json.JSONDecoder."""

    __slots__ = ("memo", "object_hook", "object_pairs_hook", "parse_constant", "parse_float", "parse_int", "strict")

    def __init__(self) -> None:
        self.strict = True
        self.memo: dict[str, str] = {}
        self.object_hook = self.object_pairs_hook = None
        self.parse_constant = _no_constant
        self.parse_float, self.parse_int = float, int


try:
    from _json import make_scanner

    _scan: "Callable[[str, int], tuple[Any, int]]" = make_scanner(_Rules())  # type: ignore[arg-type]
except ImportError:
    from json import JSONDecoder

    _scan = JSONDecoder().raw_decode


def parse(text: str) -> "Any":
    """JSON. ValueError: what is wrong with it."""
    text = text.strip(" \t\r\n")
    try:
        value, end = _scan(text, 0)
    except StopIteration as stop:
        raise ValueError(f"no JSON value at character {stop.value}") from None
    except SystemError:  # the scanner raises json.JSONDecodeError, and cannot while that module is not loaded
        import json

        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if end != len(text):
        raise ValueError(f"more than one JSON value: character {end}")
    return value


def encode(value: "Any") -> str:
    """JSON in ASCII: None, bool, int, finite float, str, list, tuple, and dict with str keys."""
    if isinstance(value, str):
        return _quoted(value)
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) or (isinstance(value, float) and value - value == 0):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join([encode(item) for item in value]) + "]"
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return "{" + ", ".join([f"{_quoted(key)}: {encode(item)}" for key, item in value.items()]) + "}"
    raise TypeError(f"a record cannot hold {value!r}")
