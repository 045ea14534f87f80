"""What the package managers of languages say is installed."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from treesmith.inventory.archives import Archive


class Brought(NamedTuple):
    """What a package manager fetched."""

    archives: Mapping[str, Archive]  # by package
    unpinned: list[str]  # packages that no digest holds to what they were


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


def python_archives(report: bytes) -> Brought:
    """Of `pip install --report`: pip.pypa.io, "Installation report". Only wheels are what they are installed as."""
    archives, unpinned = {}, []
    for entry in json.loads(report)["install"]:
        name, download = entry["metadata"]["name"], entry["download_info"]
        url = download["url"].partition("#")[0]
        digest = download.get("archive_info", {}).get("hash", "").replace("=", ":")
        if digest.startswith("sha256:") and url.endswith(".whl"):
            archives[name] = Archive(digest, url)
        else:
            unpinned.append(name)
    return Brought(archives, unpinned)


def python_versions(report: bytes) -> dict[str, str]:
    """NAME -> version, of the same; nothing of an empty one."""
    found = [entry["metadata"] for entry in json.loads(report)["install"]] if report else []
    return {one["name"]: one["version"] for one in found}


def ruby(listed: str) -> dict[str, str]:
    """NAME -> its versions, the newest first, of `gem list`."""
    found = {}
    for line in listed.splitlines():
        name, separator, rest = line.partition(" (")
        if separator and rest.endswith(")"):
            found[name] = rest[:-1].replace("default: ", "")
    return found


def explained(said: str) -> dict[str, str]:
    """NAME -> version, of `gem install --explain`."""
    rows = (line.strip().rpartition("-") for line in said.splitlines() if line.startswith(" "))
    return {name: version for name, _, version in rows if name}


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


def node_archives(lock: str | bytes) -> Brought:
    """Of a package-lock.json. What a registry does not have comes with whoever names it."""
    archives, unpinned = {}, []
    for path, entry in json.loads(lock).get("packages", {}).items():
        source = str(entry.get("resolved", ""))
        digests = dict(one.partition("-")[::2] for one in str(entry.get("integrity", "")).split())
        if not path or entry.get("inBundle") or entry.get("link") or source.startswith("file:"):
            continue
        name = path.removeprefix("node_modules/")
        if "sha512" in digests and source.startswith(("http:", "https:")):
            archives[name] = Archive(f"sha512:{base64.b64decode(digests['sha512']).hex()}", source)
        else:
            unpinned.append(name)
    return Brought(archives, unpinned)


def _node(document: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(document, dict):
        return
    for key in ("packages", "dependencies"):
        table = document.get(key)
        for path, entry in table.items() if isinstance(table, dict) else ():
            if path and isinstance(entry, dict) and isinstance(entry.get("version"), str):
                yield path.removeprefix("node_modules/"), entry["version"]
