"""The JSON Schema for editors accepts what the grammar accepts, and most of the rest not."""

import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from treesmith import recipe, steps
from treesmith.errors import UsageError
from treesmith.recipe.defaults import KEYS
from treesmith.recipe.editor import json_schema
from treesmith.recipe.grammar import STEP_KEYS, TOP_KEYS, Settings, parse
from treesmith.recipe.search import SHIPPED, Found
from treesmith.recipe.template import template
from treesmith.recipe.written import value
from treesmith.steps.schema import Option

SCHEMA = json_schema()
VALUES: dict[str, list[Any]] = {
    "string": ["x"], "int": [3], "bool": [True], "strings": [["x", "y"]], "command": ["x y", ["x", "y"]],
    "file": ["x", "./x/y"], "source": ["x", "/x", "https://x.invalid"], "path": ["/x"], "mode": ["0755", "4711"],
}  # fmt: skip


def wrong(document: dict[str, Any]) -> list[str]:
    return [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(document)]


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", sorted(Path(SHIPPED).rglob("*.toml")), ids=lambda path: str(path.relative_to(SHIPPED)))
def test_shipped_recipes(path: Path) -> None:
    assert not wrong(tomllib.loads(path.read_text()))


def test_the_template(tmp_path: Path) -> None:
    assert not wrong(tomllib.loads(template("app")))
    (tmp_path / "app.toml").write_text(template("app"))
    assert recipe.chain(str(tmp_path / "app.toml"))[-1].description == "app"


@pytest.mark.parametrize("kind", steps.known_kinds())
def test_each_option_of_each_kind(kind: str) -> None:
    """Of every kind the least that is right and every option with it, in every form: the grammar takes it, and so does
    the schema. What the grammar does not know neither does."""
    schema = steps.kind(kind).schema
    least = {name: fitting(option)[0] for name, option in schema.options.items() if option.required}
    least |= {name: fitting(schema.options[name])[0] for name in schema.one_of[:1]}
    tables: list[Any] = [least]
    for name, option in schema.options.items():
        if name not in schema.one_of:
            tables += [{**least, name: said} for said in fitting(option)]
    if schema.main and set(least) <= {schema.main}:
        tables += fitting(schema.options[schema.main])
    for options in tables:
        document = (
            {"step": [{kind: options}]} if schema.bootstraps != "never" else {"from": "x", "step": [{kind: options}]}
        )
        taken(document)
        assert not wrong(document), options
    for extra in ({kind: {**least, "nosuch": 1}}, {kind: least, "driver": "nosuch"}, {kind: least, "nosuch": 1}):
        assert wrong({"from": "x", "step": [extra]}), extra
    if schema.interpolated and schema.options:
        name = next(iter(schema.options))
        assert not wrong({"from": "x", "vars": {"v": "x"}, "step": [{kind: {**least, name: "{v}"}}]})


def fitting(option: Option) -> list[Any]:
    return list(option.choices) if option.choices else VALUES[option.type]


def taken(document: dict[str, Any]) -> None:
    lines = [f"{key} = {value(said)}" for key, said in document.items()]
    parse("\n".join(lines), Found("x", "/x.toml"), Settings())


GOOD_LAUNCH = {
    "command": ["x"], "user": "x", "env": {"A": "b"}, "chdir": "/x", "boot": True, "notify": True,
    "read-only": True, "stop-signal": "SIGRTMIN+3", "memory": "2G", "cpus": 0.5, "pids": 3, "network": "private",
    "ports": ["80:80", "127.0.0.1:80:80/udp", "[::1]:80:80"],
}  # fmt: skip
BAD_LAUNCH = {
    "command": [], "user": "", "env": {"1": "b"}, "chdir": "x", "boot": "yes", "notify": 0, "read-only": 1,
    "stop-signal": "2", "memory": "much", "cpus": 0, "pids": -1, "network": "host", "ports": ["80"],
}  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_launch(key: str) -> None:
    good, bad = ({"from": "x", "launch": {key: table[key]}} for table in (GOOD_LAUNCH, BAD_LAUNCH))
    taken(good)
    assert not wrong(good) and wrong(bad)
    with pytest.raises(UsageError):
        taken(bad)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"form": "x"},
        {"step": [{"run": "x"}]},
        {"step": [{"tar": {"file": "x"}, "copy": {"from": "x", "to": "/x"}}]},
        {"from": "x", "step": [{}]},
        {"from": "x", "step": [{"apt": ["x"], "run": "x"}]},
        {"from": {"set": {}}},
        {"from": "x", "arch": "vax"},
        {"from": "x", "vars": {"step": "x"}},
        {"from": "x", "vars": {"A": "x"}},
        {"from": "x", "step": [{"run": "x", "secrets": ["/x"]}]},
        {"from": "x", "step": [{"run": "x", "env": {"A": 1}}]},
    ],
)
def test_neither_takes(document: dict[str, Any]) -> None:
    assert wrong(document)
    with pytest.raises(UsageError):
        taken(document)


def test_nothing_is_left_out() -> None:
    assert set(SCHEMA["properties"]) == set(TOP_KEYS)
    step = SCHEMA["properties"]["step"]["items"]
    assert set(step["properties"]) == {*STEP_KEYS, *steps.known_kinds()}
    assert set(SCHEMA["properties"]["launch"]["properties"]) == set(KEYS)
