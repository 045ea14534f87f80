"""A JSON Schema of recipes, for editors: made of the grammar's own tables, of every kind that is installed."""

from collections.abc import Mapping
from typing import Any

from treesmith import steps
from treesmith.recipe.defaults import ENVIRONMENT, KEYS
from treesmith.recipe.grammar import ARCHITECTURES, SECRET, TOP_KEYS
from treesmith.recipe.values import VARIABLE
from treesmith.steps.schema import Option, Schema, Type

Form = Mapping[str, Any]

_TEXT: Form = {"type": "string"}
_TEXTS: Form = {"type": "array", "items": _TEXT}
_FORMS: Mapping[Type, Form] = {
    "string": _TEXT,
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "strings": _TEXTS,
    "command": {"anyOf": [_TEXT, {**_TEXTS, "minItems": 1}]},
    "file": {"type": "string", "pattern": "^[^/]"},
    "source": _TEXT,
    "path": {"type": "string", "pattern": "^/"},
    "mode": {"type": "string", "pattern": "^[0-7]{1,5}$"},
}
_VALUE: Form = {"anyOf": [_TEXT, {"type": "integer"}, {"type": "boolean"}, _TEXTS]}
# What a variable may fill in, or leave out; the first is also what is absent anyway.
_FILLED: Form = {"type": "string", "pattern": r"^$|\{"}


def json_schema() -> dict[str, Any]:
    """draft-07, which editors' TOML plugins know. It accepts every recipe that is right, and some that are not."""
    kinds = [steps.kind(name).schema for name in steps.known_kinds()]
    document: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A recipe of treesmith",
        "type": "object",
        "properties": _top(kinds),
        "additionalProperties": False,
        "anyOf": [
            {"required": ["from"]},
            {"required": ["step"], "properties": {"step": {"items": [_one_of(_bootstraps(kinds))]}}},
        ],
    }
    assert set(document["properties"]) == set(TOP_KEYS)
    return document


def _top(kinds: list[Schema]) -> dict[str, Any]:
    variables = {
        "type": "object",
        "propertyNames": {"pattern": f"^{VARIABLE.pattern}$", "not": {"enum": list(TOP_KEYS)}},
        "additionalProperties": _VALUE,
    }
    base = {
        "type": "object",
        "properties": {"recipe": _TEXT, "set": {"type": "object", "additionalProperties": _VALUE}},
        "required": ["recipe"],
        "additionalProperties": False,
    }
    return {
        "description": {**_TEXT, "description": "what a listing says of it"},
        "arch": {"enum": sorted(ARCHITECTURES), "description": "the machine's own, or its base's, unless given"},
        "from": {"anyOf": [_TEXT, base], "description": "another recipe; without it step 1 fills an empty root"},
        "vars": {**variables, "description": "variables and their defaults: --set VAR=VALUE"},
        "step": {"type": "array", "items": _step(kinds)},
        "launch": {
            "type": "object",
            "properties": {name: {**key.form, "description": key.said} for name, key in KEYS.items()},
            "additionalProperties": False,
        },
    }


def _step(kinds: list[Schema]) -> Form:
    own = {
        "name": {**_TEXT, "description": "for messages"},
        "driver": {**_TEXT, "description": "the program used"},
        "network": {"type": "boolean", "description": "by default: whether the kind fetches"},
        "env": ENVIRONMENT,
        "secrets": {"type": "array", "items": {"type": "string", "pattern": f"^{SECRET.pattern}$"}},
    }
    return {
        "type": "object",
        "properties": {**own, **{kind.kind: _kind(kind) for kind in kinds}},
        "additionalProperties": False,
        **_one_of(kinds),
    }


def _bootstraps(kinds: list[Schema]) -> list[Schema]:
    return [kind for kind in kinds if kind.bootstraps != "never"]


def _one_of(kinds: list[Schema]) -> Form:
    """A step is of exactly one of the kinds, with one of its drivers."""
    return {
        "oneOf": [
            {"required": [kind.kind], "properties": {"driver": {"enum": ["auto", *kind.drivers]}}} for kind in kinds
        ]
    }


def _kind(kind: Schema) -> Form:
    table: dict[str, Any] = {
        "type": "object",
        "properties": {name: _option(option, kind.interpolated) for name, option in kind.options.items()},
        "required": [name for name, option in kind.options.items() if option.required],
        "additionalProperties": False,
    }
    if kind.one_of:
        table["oneOf"] = [{"required": [name]} for name in kind.one_of]
    main = [_option(kind.options[kind.main], kind.interpolated)] if kind.main else []
    return {"description": kind.help, "anyOf": [*main, table]}


def _option(option: Option, interpolated: bool) -> Form:
    form = dict(_FORMS[option.type])
    if option.choices:
        among = {"enum": list(option.choices)}
        form |= {"items": among} if option.type == "strings" else among
    if option.default is not None:
        form["default"] = list(option.default) if isinstance(option.default, tuple) else option.default
    if interpolated and form != _TEXT:
        form = {"anyOf": [form, _FILLED]}
    return {**form, "description": option.help}
