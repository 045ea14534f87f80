"""A recipe's variables, and their way into its steps."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from treesmith.names import nearest
from treesmith.steps.schema import Value

Fail = Callable[..., NoReturn]  # fail(message, hint="") raises the error with its file and line

VARIABLE = re.compile(r"[a-z][a-z0-9_]*")
_ALONE = re.compile(r"\{([^{}]*)\}")
_MARK = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def plain(value: object) -> Value | None:
    """A TOML value as the value of a variable or an option; None if it cannot be one."""
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    return None


def type_name(value: Value) -> str:
    return {bool: "bool", int: "int", str: "string", tuple: "[string]"}[type(value)]


def from_text(text: str, like: Value, fail: Fail) -> Value:
    """The value that --set VAR=TEXT means, of the type of `like`. A list is cut at commas."""
    match like:
        case bool():
            if text not in ("true", "false"):
                fail(f"{text!r} is neither true nor false")
            return text == "true"
        case int():
            if not re.fullmatch(r"[+-]?[0-9]{1,18}", text, re.ASCII):
                fail(f"{text!r} is not an integer")
            return int(text)
        case str():
            return text
    return tuple(item for item in text.split(",") if item)


def fill(value: Value, values: Mapping[str, Value], fail: Fail) -> Value | None:
    """`value` with its {variables} filled in; None: absent, as "" is.

    "{var}" alone keeps the variable's type; as an item of a list, a list joins it.
    """
    if isinstance(value, str):
        return _fill_text(value, values, fail) if value else None
    if not isinstance(value, tuple):
        return value
    items: list[str] = []
    for item in value:
        filled = _fill_text(item, values, fail)
        if isinstance(filled, tuple):
            items += filled
        elif filled is not None or not item:
            items.append("" if filled is None else said(filled))
    return tuple(items)


def _fill_text(text: str, values: Mapping[str, Value], fail: Fail) -> Value | None:
    if alone := _ALONE.fullmatch(text):
        value = _look_up(alone[1], values, fail)
        return None if value == "" else value

    def replacement(mark: re.Match[str]) -> str:
        if mark[0] in ("{{", "}}"):
            return mark[0][0]
        if mark[1] is None:
            fail(f"a lone {mark[0]} in {text!r}", hint=f"write {mark[0] * 2} for the character itself")
        value = _look_up(mark[1], values, fail)
        if isinstance(value, tuple):
            fail(f"{mark[0]} is a list and cannot be part of {text!r}")
        return said(value)

    return _MARK.sub(replacement, text) or None


def said(value: Any) -> str:
    """A value within a text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _look_up(name: str, values: Mapping[str, Value], fail: Fail) -> Value:
    if name not in values:
        near = nearest(name, list(values))
        known = f"did you mean {{{near}}}?" if near else f"[vars] has {', '.join(values) or 'none'}"
        fail(f"{{{name}}} is no variable", hint=f"{known}; {{{{ and }}}} are braces")
    return values[name]
