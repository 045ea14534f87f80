"""Locks: what a build made, written down so that it can be made again exactly. Pure.

A step that is locked carries what its `run` returned when it was built, and a time that nothing in the tree may be
younger than. Its key covers both instead of the state of mirrors, so it is pinned. All else that it reads must be as it
was.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from treesmith import steps
from treesmith.errors import Error, UsageError
from treesmith.plan.explain import difference
from treesmith.recipe import Recipe
from treesmith.steps import Inputs, Step
from treesmith.steps.schema import Value
from treesmith.steps.step import Lock

_FORMAT = 1
_FREE = ("driver", "step.lock")  # in a key, but no part of a lock: a program's version, and the lock itself


class Document(NamedTuple):
    """What is in a lock's file. steps: of the whole chain, the first recipe's first."""

    path: str
    recipe: str
    set: Mapping[str, Value]
    arch: str
    epoch: int  # unix seconds
    steps: Sequence[Mapping[str, Any]]


def locked(chain: Sequence[Recipe], made: Iterable[Mapping[str, Any]], epoch: int) -> tuple[Recipe, ...]:
    """The chain with a lock on each step. made: what each step of the chain returned, in order."""
    rest = iter(made)
    return tuple(
        recipe._replace(steps=tuple(_on(step, Lock(epoch, next(rest))) for step in recipe.steps)) for recipe in chain
    )


def _on(step: Step, lock: Lock) -> Step:
    """By the same program, where there is a choice."""
    name = str(lock.made.get("driver", "")).partition(" ")[0]
    return step._replace(lock=lock, driver=name if name in steps.kind(step.kind).schema.drivers else step.driver)


def text(chain: Sequence[Recipe], inputs: Sequence[Sequence[Inputs]], epoch: int) -> str:
    """The file for a chain of locked steps. Error: one of them cannot be made again by what is known of it."""
    entries = []
    for recipe, own in zip(chain, inputs, strict=True):
        for step, read in zip(recipe.steps, own, strict=True):
            assert step.lock
            if reason := steps.loose(step):
                raise Error(f"{recipe.name}: {step.title} cannot be locked", reason)
            entry = {"recipe": recipe.name, "kind": step.kind, "inputs": _facts(read), "made": step.lock.made}
            entries.append(entry)
    last = chain[-1]
    head = {"version": _FORMAT, "recipe": last.name, "set": last.record()["set"], "arch": last.arch, "epoch": epoch}
    return json.dumps({**head, "steps": entries}, indent=1, ensure_ascii=False) + "\n"


def parse(data: bytes, path: str) -> Document:
    """UsageError: no lock."""
    try:
        document = json.loads(data)
        version = document["version"]
        chosen = {name: tuple(value) if isinstance(value, list) else value for name, value in document["set"].items()}
        entries = [
            {**{word: str(one[word]) for word in ("recipe", "kind")}, **{word: dict(one[word]) for word in _TABLES}}
            for one in document["steps"]
        ]
        found = Document(path, str(document["recipe"]), chosen, str(document["arch"]), int(document["epoch"]), entries)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} is no lock", repr(error)[:200], "treesmith lock writes one") from None
    if version != _FORMAT:
        raise UsageError(f"{path} is a lock of another version, {version!r}", hint="treesmith lock writes one")
    return found


_TABLES = ("inputs", "made")


def fitted(document: Document, chain: Sequence[Recipe]) -> tuple[Recipe, ...]:
    """The chain, locked. Error: it has other steps than the lock, or is for another architecture."""
    if chain[-1].arch != document.arch:
        raise _unlike(document, f"it is for {document.arch}, and this is {chain[-1].arch}")
    ours = [(recipe.name, step.kind) for recipe in chain for step in recipe.steps]
    theirs = [(one["recipe"], one["kind"]) for one in document.steps]
    for number, (own, other) in enumerate(zip(ours, theirs, strict=False), 1):
        if own != other:
            raise _unlike(document, f"step {number} of all is {' '.join(own)}, there {' '.join(other)}")
    if len(ours) != len(theirs):
        raise _unlike(document, f"there are {len(ours)} steps, there {len(theirs)}")
    return locked(chain, (one["made"] for one in document.steps), document.epoch)


def check(document: Document, chain: Sequence[Recipe], inputs: Sequence[Sequence[Inputs]]) -> None:
    """Error: a step of the chain, as `fitted` made it, reads something else than when the lock was written, or needs
    what no lock can hold.
    """
    pairs = [(recipe, step) for recipe in chain for step in recipe.steps]
    read = [one for own in inputs for one in own]
    for (recipe, step), now, then in zip(pairs, read, document.steps, strict=True):
        told = difference(then["inputs"], _facts(now))
        if told:
            raise _unlike(document, f"{recipe.name}: {step.title}: {told}")
        if reason := steps.loose(step):
            raise Error(f"{recipe.name}: {step.title} cannot be locked", reason)


def _facts(read: Inputs) -> dict[str, Any]:
    """As JSON has them."""
    facts = {label: value for label, value in read.facts.items() if label not in _FREE}
    return {label: list(value) if isinstance(value, tuple) else value for label, value in sorted(facts.items())}


def _unlike(document: Document, what: str) -> Error:
    hint = "treesmith build without --locked, and treesmith lock, write one that fits"
    return Error(f"{document.path} is the lock of something else", what, hint)
