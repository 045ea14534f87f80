"""From a command line to a verb and its handler's arguments, without the 65 ms that importing Typer takes.

`split` comes first, whoever reads after it. `read` then returns exactly what Typer would, or None: for help, for
completion, for every error, and for whatever is seldom enough that Typer may have it.
"""

from treesmith.verbs.declare import Option, Verb
from treesmith.verbs.table import GLOBALS, VERBS, VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ANYWHERE = {f"--{option.name}": option for option in (*GLOBALS, VERSION)}
_ANYWHERE.update({f"-{option.short}": option for option in GLOBALS if option.short})


class Request:
    """A command line, split.

    word: the verb as written, "" if there is none. arguments: what a reader reads, without the verb.
    command: what follows the first `--`, for a verb that starts a command. version: --version stood before the verb.
    """

    __slots__ = ("arguments", "command", "version", "word")

    def __init__(
        self, word: str, arguments: "list[str]", command: "tuple[str, ...]" = (), version: bool = False
    ) -> None:
        self.word = word
        self.arguments = arguments
        self.command = command
        self.version = version

    @property
    def verb(self) -> "Verb | None":
        return VERBS.get(self.word)


def split(argv: "list[str]") -> Request:
    """Move leading globals behind the verb; cut at the first `--` where a command follows it; join what may be bare."""
    at, version = 0, False
    while at < len(argv) and argv[at].startswith("-"):
        spelling, joined, _ = argv[at].partition("=")
        option = _ANYWHERE.get(spelling)
        if option is None:
            return Request("", argv, version=version)
        version = version or option is VERSION
        at += 2 if option.kind == "text" and not joined else 1
    if at >= len(argv):
        return Request("", argv, version=version)
    word, hoisted, rest = argv[at], argv[:at], argv[at + 1 :]
    verb = VERBS.get(word)
    command: tuple[str, ...] = ()
    if verb and verb.starts and "--" in rest:
        cut = rest.index("--")
        rest, command = rest[:cut], tuple(rest[cut + 1 :])
    arguments = hoisted + rest
    return Request(word, _join_bare(verb, arguments) if verb else arguments, command, version)


def _join_bare(verb: Verb, arguments: "list[str]") -> "list[str]":
    """`--log` becomes `--log=`: its value may be left out, so it never takes the next word."""
    bare = {f"--{option.name}" for option in verb.options if option.kind == "maybe"}
    if bare.isdisjoint(arguments):
        return arguments
    known = spellings(verb)
    joined: list[str] = []
    value = False  # the word is an option's value
    for at, word in enumerate(arguments):
        if word == "--" and not value:
            return joined + arguments[at:]
        joined.append(f"{word}=" if word in bare and not value else word)
        value = not value and word not in bare and word in known and known[word].kind != "flag"
    return joined


def spellings(verb: Verb) -> "dict[str, Option]":
    """Every option that the verb takes, by each way to write it."""
    options = (*verb.options, *GLOBALS, VERSION)
    return {f"--{option.name}": option for option in options} | {
        f"-{option.short}": option for option in options if option.short
    }


def read(verb: Verb, arguments: "list[str]") -> "dict[str, Any] | None":
    """The handler's arguments and the globals, by name; None: let Typer read."""
    known = spellings(verb)
    values: dict[str, Any] = {option.dest: option.default for option in (*verb.options, *GLOBALS)}
    words: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        spelling, joined, value = word.partition("=")
        option = known.get(spelling)
        if option is None or option is VERSION or (joined and (option.kind == "flag" or not spelling.startswith("--"))):
            return None
        if option.kind == "flag":
            values[option.dest] = True
            continue
        if not joined:
            following = next(rest, None)
            if following is None or following == "--":
                return None
            value = following
        if option.kind == "int" and not (value.isascii() and value.isdecimal() and len(value) < 10):
            return None
        if option.kind == "many":
            values[option.dest] += (value,)
        else:
            values[option.dest] = int(value) if option.kind == "int" else value
    return _place(verb, words, values)


def _place(verb: Verb, words: "list[str]", values: "dict[str, Any]") -> "dict[str, Any] | None":
    """Hand the words to the arguments in order; only the last argument may take more or fewer than one."""
    for at, argument in enumerate(verb.arguments):
        if argument.several:
            values[argument.name], words = tuple(words[at:]), words[:at]
            if not values[argument.name] and argument.count == "some":
                return None
        elif at < len(words):
            values[argument.name] = words[at]
        elif argument.count == "maybe":
            values[argument.name] = ""
        else:
            return None
    return values if len(words) <= len(verb.arguments) else None
