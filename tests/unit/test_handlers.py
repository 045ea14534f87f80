"""Every declared verb has a handler, which takes what is declared."""

import importlib
import inspect

import pytest

from treesmith import spec
from treesmith.verbs.table import VERBS


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_handler_takes_exactly_what_is_declared(verb) -> None:
    handler = getattr(importlib.import_module(f"treesmith.cli.{verb.module}"), verb.handler)
    declared = [argument.name for argument in verb.arguments]
    declared += ["command"] * verb.starts + [option.dest for option in verb.options]
    first, *taken = inspect.signature(handler).parameters.values()
    assert first.name == "asked"
    names = [parameter.name for parameter in taken if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    if len(names) < len(taken):
        names += [name for name in declared if name not in names and name in inspect.signature(spec.make).parameters]
    assert sorted(names) == sorted(declared)
