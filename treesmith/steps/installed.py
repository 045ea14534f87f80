"""What a step installed, as its record says it: read from the package managers' own databases."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from treesmith.archive.read import read


def debian(root: int) -> dict[str, str]:
    """NAME:ARCH -> version of every package that dpkg calls installed."""
    status = read(root, "var/lib/dpkg/status").decode(errors="replace")
    found = {}
    for stanza in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line[0].isspace())
        if fields.get("Status", "").endswith(" installed"):
            found[f"{fields.get('Package')}:{fields.get('Architecture')}"] = fields.get("Version", "")
    return found


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


def python(freeze: str) -> dict[str, str]:
    """NAME -> version, of `pip freeze`. What came from elsewhere than an index has its URL for a version."""
    found = {}
    for line in freeze.splitlines():
        for mark in ("==", " @ "):
            name, separator, version = line.partition(mark)
            if separator and not line.startswith(("#", "-")):
                found[name.strip()] = version.strip()
                break
    return found


def ruby(listed: str) -> dict[str, str]:
    """NAME -> its versions, the newest first, of `gem list`."""
    found = {}
    for line in listed.splitlines():
        name, separator, rest = line.partition(" (")
        if separator and rest.endswith(")"):
            found[name] = rest[:-1].replace("default: ", "")
    return found


def perl(listed: str) -> dict[str, str]:
    """MODULE -> version, of lines that say so."""
    rows = [line.split(" ", 1) for line in listed.splitlines() if " " in line]
    return dict(sorted((name, version) for name, version in rows))


def node(lock: str | bytes) -> dict[str, str]:
    """PATH -> version, of a package-lock.json, the hidden one of node_modules, or `npm ls --json`."""
    try:
        document = json.loads(lock)
    except ValueError:
        return {}
    return dict(_node(document))


def _node(document: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(document, dict):
        return
    for key in ("packages", "dependencies"):
        table = document.get(key)
        for path, entry in table.items() if isinstance(table, dict) else ():
            if path and isinstance(entry, dict) and isinstance(entry.get("version"), str):
                yield path.removeprefix("node_modules/"), entry["version"]
