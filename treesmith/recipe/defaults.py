"""[launch]: how a tree wants to be launched. It may tighten what a launch does, never loosen it."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from treesmith.names import nearest
from treesmith.recipe.values import Fail

_PORT = re.compile(r"(?:(?:[0-9.]+|\[[0-9a-fA-F:.]+\]):)?([0-9]{1,5}):([0-9]{1,5})(?:/(?:tcp|udp))?", re.ASCII)
_SIZE = re.compile(r"[1-9][0-9]{0,15}[KMGT]?", re.ASCII)
_SIGNAL = re.compile(r"SIG[A-Z0-9]+(?:[+-][0-9]{1,2})?", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
ENVIRONMENT: Mapping[str, Any] = {
    "type": "object",
    "patternProperties": {f"^{_VARIABLE.pattern}$": {"type": "string"}},
    "additionalProperties": False,
}


def is_environment(value: object) -> bool:
    """{ NAME = STRING } with names a shell accepts."""
    return isinstance(value, dict) and all(_VARIABLE.fullmatch(name) and _is_text(text) for name, text in value.items())


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_positive(value: object, kinds: tuple[type, ...] = (int,)) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool) and 0 < value < 2**63  # type: ignore[operator]


def _is_port(value: object) -> bool:
    found = _PORT.fullmatch(value) if isinstance(value, str) else None
    return bool(found) and all(0 < int(number) < 65536 for number in found.groups())  # type: ignore[union-attr]


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and bool(pattern.fullmatch(value))


class Key(NamedTuple):
    """A key of [launch]. form: what `fits`, as far as JSON Schema can say it."""

    fits: Callable[[Any], bool]
    said: str
    form: Mapping[str, Any]


_FLAG = Key(lambda value: isinstance(value, bool), "true or false", {"type": "boolean"})
KEYS: Mapping[str, Key] = {
    "command": Key(
        lambda value: _is_texts(value) and bool(value),
        "a list of strings, the program first",
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
    ),
    "user": Key(
        lambda value: _is_text(value) and bool(value),
        'a string: "name", "uid", "uid:gid" or "name:group"',
        {"type": "string", "minLength": 1},
    ),
    "env": Key(is_environment, "a table of NAME = STRING", ENVIRONMENT),
    "chdir": Key(
        lambda value: _is_text(value) and value.startswith("/"),
        "an absolute path in the tree",
        {"type": "string", "pattern": "^/"},
    ),
    "boot": _FLAG,
    "notify": _FLAG,
    "read-only": _FLAG,
    "stop-signal": Key(
        lambda value: _matches(_SIGNAL, value),
        'a signal by its name: "SIGTERM", "SIGRTMIN+3"',
        {"type": "string", "pattern": f"^{_SIGNAL.pattern}$"},
    ),
    "memory": Key(
        lambda value: _matches(_SIZE, value) or _is_positive(value),
        'bytes, or with a unit: "512M", "2G"',
        {"type": ["string", "integer"], "pattern": f"^{_SIZE.pattern}$", "minimum": 1},
    ),
    "cpus": Key(
        lambda value: _is_positive(value, (int, float)),
        "a number of processors above 0: 2, 0.5",
        {"type": "number", "exclusiveMinimum": 0},
    ),
    "pids": Key(_is_positive, "an integer above 0", {"type": "integer", "minimum": 1}),
    "ports": Key(
        lambda value: _is_texts(value) and all(map(_is_port, value)),
        'a list of "[ADDRESS:]HOST:CONTAINER[/udp]", as "8080:8000"',
        {"type": "array", "items": {"type": "string", "pattern": f"^{_PORT.pattern}$"}},
    ),
    "network": Key(lambda value: value in ("none", "private"), '"none" or "private"', {"enum": ["none", "private"]}),
}


def check(table: Mapping[str, Any], fail: Fail) -> dict[str, Any]:
    """`table`, if it is a [launch] table. `fail(message, key, hint=…)` otherwise."""
    for key, value in table.items():
        if key not in KEYS:
            near = nearest(key, list(KEYS))
            fail(f"launch has no {key!r}", key, hint=f"did you mean {near}?" if near else f"it has {', '.join(KEYS)}")
        if not KEYS[key].fits(value):
            hint = ""
            if key == "network" and value == "host":
                hint = "a recipe cannot loosen isolation; /etc/treesmith/launch/NAME.toml and launch --network host can"
            fail(f"launch: {key} must be {KEYS[key].said}", key, hint=hint)
    return dict(table)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Launch defaults inherited key by key, `env` by variable."""
    result = {**below, **above}
    if "env" in below and "env" in above:
        result["env"] = {**below["env"], **above["env"]}
    return result
