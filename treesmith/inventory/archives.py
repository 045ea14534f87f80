"""The archives that packages came in, as records and locks have them: digest and source of each."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from treesmith.errors import Error

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class Archive(NamedTuple):
    digest: str  # "sha256:" or "sha512:", and hex
    source: str  # a URL

    @property
    def file(self) -> str:
        """The last part of the URL's path."""
        return unquote(urlsplit(self.source).path.rpartition("/")[2])


def recorded(archives: Mapping[str, Archive], packages: Iterable[str]) -> dict[str, dict[str, str]]:
    """As `archives` in what a step made: those of its `packages`, without what a source was opened with."""
    held = {package: archives[package] for package in sorted(packages) if package in archives}
    return {package: {"digest": held[package].digest, "source": _public(held[package].source)} for package in held}


def _public(url: str) -> str:
    """Without a user and a password: records are shown, and locks lie beside recipes."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def archives(made: Mapping[str, Any]) -> dict[str, Archive]:
    """Of what a step made. Error: it says nothing that could be meant."""
    table = made.get("archives", {})
    found: dict[str, Archive] = {}
    for package, entry in table.items() if isinstance(table, Mapping) else ():
        digest, source = (entry.get(word) for word in Archive._fields) if isinstance(entry, Mapping) else ("", "")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or not isinstance(source, str):
            raise Error(f"what is said of {package} is no archive", f"{entry!r}"[:200])
        archive = Archive(digest, source)
        if archive.file in ("", ".", "..") or "/" in archive.file or "\0" in archive.file:
            raise Error(f"what is said of {package} is no archive", f"{source[:200]} has no file's name")
        found[package] = archive
    return found
