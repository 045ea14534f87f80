"""What the package managers of languages say is installed."""

import json
from collections.abc import Iterator
from typing import Any


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
