"""What a tree may be called, and what its id looks like. Pure.

A name is `[a-z0-9][a-z0-9._-]{0,63}` and does not end in .toml, so that it is never mistaken for a recipe's path.
treesmith itself makes two more forms: NAME@N, a superseded tree, and NAME~xxxx, a throw-away.
An id is 16 hex digits and is written @hex; a unique beginning of at least 4 is enough.
"""

import os

from treesmith.errors import UsageError

FIRST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
REST = FIRST | frozenset("._-")
HEX = frozenset("0123456789abcdef")
ID_LENGTH = 16


def is_name(text: str) -> bool:
    return 0 < len(text) <= 64 and text[0] in FIRST and REST.issuperset(text) and not text.endswith(".toml")


def is_entry(text: str) -> bool:
    """A name as it may stand in a store: a user's, or NAME@N of a superseded tree."""
    name, mark, number = text.partition("@")
    return is_name(name) and (not mark or number.isdecimal())


def recipe_name(path: str) -> str:
    """Of a recipe: NAME.toml or NAME/recipe.toml."""
    folder, file = os.path.split(path)
    return os.path.basename(folder) if file == "recipe.toml" else file.removesuffix(".toml")


def check_name(text: str) -> str:
    """`text`, if it may name a tree."""
    if not is_name(text):
        raise UsageError(
            f"{text!r} cannot name a tree",
            "a name is 1 to 64 of a-z 0-9 . _ -, begins with a letter or digit, and does not end in .toml",
        )
    return text


def is_id(text: str) -> bool:
    return len(text) == ID_LENGTH and HEX.issuperset(text)


def new_id() -> str:
    return os.urandom(ID_LENGTH // 2).hex()


def superseded(name: str, number: int) -> str:
    return f"{name}@{number}"


def throwaway(name: str) -> str:
    """A fresh name for a copy of `name` that lives as long as its container."""
    return f"{name.partition('@')[0]}~{os.urandom(2).hex()}"


def nearest(word: str, known: "list[str]") -> str:
    """The one of `known` that `word` was likely meant to be, or ''."""
    import difflib

    return next(iter(difflib.get_close_matches(word, known, 1, 0.6)), "")
