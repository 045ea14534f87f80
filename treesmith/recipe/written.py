"""Recipes, written: the part of TOML that they need."""

import json
from collections.abc import Mapping


def table(header: str, keys: Mapping[str, object]) -> str:
    """A table and an empty line. A table in it is written in one line."""
    return "\n".join([header, *(f"{_key(name)} = {value(said)}" for name, said in keys.items()), ""])


def value(given: object) -> str:
    """A text, a number, a list or a table of such, in one line: toml.io, v1.0.0."""
    if isinstance(given, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {value(said)}" for name, said in given.items()) + " }"
    if isinstance(given, list | tuple):
        return "[" + ", ".join(map(value, given)) + "]"
    return json.dumps(given, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    plain = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if plain else value(name)
