"""The forms a declaration is written in. Plain classes: a hot verb cannot pay for dataclasses (14 ms)."""


class Option:
    """One option of a verb.

    kind: "flag" (bool); "text" (str); "int" (int, or None when absent); "many" (given any number of times, a tuple);
    "maybe" (`--log` or `--log=STEP`: "" or the text; None when absent).
    complete: the words to offer, or the name of a completer: "containers", "trees", "recipes".
    """

    __slots__ = ("complete", "default", "help", "kind", "metavar", "name", "short")

    def __init__(
        self, name: str, kind: str, help: str, *,
        short: str = "", default: "str | None" = None, metavar: str = "", complete: "str | tuple[str, ...]" = (),
    ) -> None:  # fmt: skip
        self.name = name
        self.kind = kind
        self.help = help
        self.short = short
        self.metavar = metavar
        self.complete = complete
        self.default: bool | str | tuple[str, ...] | None = DEFAULTS[kind] if default is None else default

    @property
    def dest(self) -> str:
        """The name of the handler's parameter."""
        return self.name.replace("-", "_")


DEFAULTS: "dict[str, bool | str | tuple[str, ...] | None]" = {
    "flag": False,
    "text": "",
    "int": None,
    "many": (),
    "maybe": None,
}


class Argument:
    """One argument. count: "one"; "maybe" ("" when absent); "some" (one or more, a tuple);
    "any" (as many as one likes, a tuple)."""

    __slots__ = ("complete", "count", "help", "name")

    def __init__(self, name: str, count: str, help: str, complete: str = "") -> None:
        self.name = name
        self.count = count
        self.help = help
        self.complete = complete

    @property
    def metavar(self) -> str:
        """As it stands in a usage line."""
        name = self.name.removesuffix("s").upper() + "…" if self.several else self.name.upper()
        return f"[{name}]" if self.count in ("maybe", "any") else name

    @property
    def several(self) -> bool:
        """Is it a tuple?"""
        return self.count in ("some", "any")


class Verb:
    """One verb. Its handler is the function of its name in `treesmith.cli.MODULE`.

    help: one line. more: a paragraph for the verb's own help. starts: what follows the first `--` is a command to
    start, handed over as `command`; the exit status is the command's, and 125 for every failure of treesmith's own.
    store: it has to do with one, which without root is reached by being root in a user namespace.
    """

    __slots__ = ("arguments", "family", "help", "module", "more", "name", "options", "starts", "store")

    def __init__(
        self, name: str, family: str, module: str, help: str, *parts: "Argument | Option",
        more: str = "", starts: bool = False, store: bool = True,
    ) -> None:  # fmt: skip
        self.name = name
        self.family = family
        self.module = module
        self.help = help
        self.arguments = [part for part in parts if isinstance(part, Argument)]
        self.options = [part for part in parts if isinstance(part, Option)]
        self.more = more
        self.starts = starts
        self.store = store

    @property
    def handler(self) -> str:
        return self.name.replace("-", "_")

    def usage(self) -> "list[str]":
        """What follows the verb's name in a usage line."""
        pieces = ["[OPTIONS]", *(argument.metavar for argument in self.arguments)]
        return [*pieces, "[-- COMMAND…]"] if self.starts else pieces

    def status(self, status: int) -> int:
        """The exit status for a failure of treesmith's own that would be `status` elsewhere."""
        return 125 if self.starts and status in (1, 2) else status


class Asked:
    """What holds for every verb: the globals. store: "" is the default one."""

    __slots__ = ("quiet", "store", "verbose")

    def __init__(self, store: str = "", quiet: bool = False, verbose: bool = False) -> None:
        self.store = store
        self.quiet = quiet
        self.verbose = verbose
