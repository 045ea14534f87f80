"""What a kind of step accepts, as data: recipes are checked against it, and an editor's JSON Schema is made from it."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Value = str | int | bool | tuple[str, ...]

Type = Literal[
    "string",
    "int",
    "bool",
    "strings",
    "command",  # a string, for a shell, or strings, an argv
    "file",  # a host path: relative to the recipe's folder and never out of it
    "source",  # a file, or an absolute host path, or a URL
    "path",  # an absolute path in the tree
    "mode",  # permission bits, in octal: "0755"
]

_SAID: dict[Type, str] = {
    "string": "a string",
    "int": "an integer",
    "bool": "true or false",
    "strings": "a list of strings",
    "command": "a string (for /bin/sh -e) or a list of strings (an argv)",
    "file": "a path relative to the recipe's folder",
    "source": "a path or a URL",
    "path": "an absolute path in the tree",
    "mode": 'permission bits in octal, as "0755"',
}


class Option(NamedTuple):
    """One option of a kind. A `default` of None: absent unless it is given."""

    type: Type
    help: str
    default: Value | None = None
    required: bool = False
    choices: tuple[str, ...] = ()

    def wrong(self, value: object) -> str:
        """What `value` should have been, or "" if it will do."""
        texts = value if isinstance(value, tuple) else (value,)
        if any(isinstance(text, str) and "\0" in text for text in texts):
            return "may not hold a zero byte"
        if isinstance(value, bool):
            fits = self.type == "bool"
        elif isinstance(value, int):
            fits = self.type == "int"
        elif isinstance(value, str):
            fits = self._text_fits(value)
        elif isinstance(value, tuple) and all(isinstance(text, str) for text in value):
            fits = self.type == "strings" or (self.type == "command" and bool(value))
        else:
            fits = False
        if not fits:
            return f"must be {_SAID[self.type]}"
        if self.choices and not set(texts) <= set(self.choices):
            return f"must be one of {', '.join(self.choices)}"
        return ""

    def _text_fits(self, value: str) -> bool:
        match self.type:
            case "string" | "source" | "command":
                return True
            case "file":
                return bool(value) and not value.startswith("/")
            case "path":
                return value.startswith("/") and ".." not in value.split("/")
            case "mode":
                return 0 < len(value) <= 5 and set(value) <= set("01234567") and int(value, 8) <= 0o7777
        return False


class Schema(NamedTuple):
    """A kind of step. `main` is the option that `KIND = VALUE` gives; "" if the kind takes a table only."""

    kind: str
    help: str
    options: Mapping[str, Option]
    main: str = ""
    network: bool = False  # whether the kind fetches
    drivers: tuple[str, ...] = ()  # programs that can do it, the best first: "auto" takes the first that is there
    bootstraps: Literal["never", "also", "only"] = "never"  # whether it can fill an empty root, or does nothing else
    interpolated: bool = True  # whether {var} means something in its options
    revision: int = 1  # in the key: raised when run() begins to make something else of the same options
    one_of: tuple[str, ...] = ()  # exactly one of these options must be given
    checked: bool = False  # run() holds all that it makes of a lock to it, and so may have a network for that too
