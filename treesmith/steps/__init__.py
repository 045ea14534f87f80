"""The kinds of steps. Each is a module with a schema, what it reads (`inputs`) and what it does (`run`)."""

import hashlib
import importlib
import json
from collections.abc import Iterable
from typing import Any, Protocol

from treesmith.errors import NotFoundError
from treesmith.names import nearest
from treesmith.steps.inputs import Inputs, Setting
from treesmith.steps.room import Room
from treesmith.steps.schema import Schema, Value
from treesmith.steps.step import Step

_NAMES = """
debootstrap dnf zypper pacman apk nix guix oci ostree
apt package pip npm gem cpan make ansible etckeeper run script copy tar
"""
BUILT_IN = {name: f"treesmith.steps.{name}" for name in _NAMES.split()}


class Kind(Protocol):
    """A module is one. A third party's comes by the entry point group `treesmith.steps`, its name has a hyphen."""

    @property
    def schema(self) -> Schema: ...

    def inputs(self, step: Step, setting: Setting) -> Inputs:
        """What the step reads besides its options, which `gather` adds. Error: something it reads is missing."""

    def run(self, step: Step, room: Room) -> dict[str, Any]:
        """Do it; what is returned (JSON) goes into the step's entry in the record. With `step.lock`: make just that."""

    def loose(self, step: Step) -> str:
        """Why what the step's lock says does not suffice to make it again exactly, or "". A kind may lack it: then
        none of its steps can be locked.
        """

    def newer(self, step: Step, room: Room) -> dict[str, str]:
        """What the step would make of its sources as they are now, by package (by image): the version, at least of
        what is another than in the room's tree, which was made by it, and which is thrown away. A kind may lack it:
        then its sources are its files.
        """


def kind(name: str) -> Kind:
    """The kind `name`. NotFoundError: there is none."""
    target = BUILT_IN.get(name) or (_installed().get(name, "") if "-" in name else "")
    if not target:
        known = known_kinds()
        near = nearest(name, known)
        raise NotFoundError(
            f"no kind of step {name!r}", hint=f"did you mean {near}?" if near else f"there are {', '.join(known)}"
        )
    found: Kind = importlib.import_module(target)
    return found


def known_kinds() -> list[str]:
    """The names of all kinds that are installed."""
    return [*BUILT_IN, *sorted(_installed())]


def _installed() -> dict[str, str]:
    """Asked only on a miss: importlib.metadata costs 40 ms."""
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group="treesmith.steps") if "-" in point.name}


def gather(step: Step, setting: Setting) -> Inputs:
    """Everything that decides what a step makes. Error, with the recipe's line: something it reads is missing."""
    module = kind(step.kind)
    own = module.inputs(step, setting)
    common: dict[str, Value] = {
        **step.options,
        **{f"env {name}": value for name, value in step.env.items()},
        "step.kind": step.kind,
        "step.revision": module.schema.revision,
        "step.arch": setting.arch,
        "step.network": step.network,
        "step.secrets": step.secrets,
    }
    if keeps_etc(step.kind, (below.facts.get("step.kind") for below in setting.below)):
        common["step.title"] = step.whole_title  # what is committed to /etc with
    if step.lock:
        said = json.dumps(step.lock, sort_keys=True)
        common["step.lock"] = hashlib.sha256(said.encode()).hexdigest()
    return Inputs({**own.facts, **common}, own.pinned or bool(step.lock))


def keeps_etc(kind: str, below: Iterable[object]) -> bool:
    """Whether a step's changes to /etc are committed, by its kind and those of the steps below it."""
    return kind == "etckeeper" or "etckeeper" in below


def loose(step: Step) -> str:
    """Why a locked step's lock does not suffice to make it again exactly, or ""."""
    module = kind(step.kind)
    return module.loose(step) if hasattr(module, "loose") else f"nothing holds what {step.kind} makes"


def newer(step: Step, room: Room) -> dict[str, str]:
    """See Kind.newer."""
    module = kind(step.kind)
    return dict(module.newer(step, room)) if hasattr(module, "newer") else {}


__all__ = [
    "BUILT_IN", "Inputs", "Kind", "Room", "Schema", "Setting", "Step", "gather", "keeps_etc", "kind", "known_kinds",
    "loose", "newer",
]  # fmt: skip
