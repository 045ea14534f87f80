"""What steps brought, of what is there before and after them."""

from collections.abc import Iterable, Mapping
from typing import Any


def added(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """What is new or of another version."""
    return {name: version for name, version in after.items() if before.get(name) != version}


def changes(steps: Iterable[Mapping[str, Any]]) -> list[dict[str, str] | None]:
    """Of each step of a record: NAME -> version of the packages that are there since. None: its kind does not say.

    pip and npm say all that is there then, so what a step of the same kind in the same folder said before is left out.
    """
    known: dict[tuple[Any, ...], dict[str, str]] = {}
    found: list[dict[str, str] | None] = []
    for step in steps:
        packages = step.get("made", {}).get("packages")
        if not isinstance(packages, Mapping):
            found.append(None)
            continue
        inputs = step.get("inputs", {})
        before = known.setdefault((step.get("kind"), inputs.get("venv"), inputs.get("to")), {})
        found.append(added(before, packages))
        before.update(packages)
    return found
