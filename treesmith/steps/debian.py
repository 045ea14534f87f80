"""What the kinds of Debian's family share: architectures, mirrors, the machine's own sources."""

import glob
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from treesmith.steps.source import local_path

DEFAULT_MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf", "i686": "i386", "ppc64le": "ppc64el"}


def architecture(machine: str) -> str:
    """Debian's word for the kernel's."""
    return _ARCHITECTURES.get(machine, machine)


class Source(NamedTuple):
    """A line of the host's sources: sources.list(5)."""

    uri: str
    suites: tuple[str, ...]


def host_mirror(suite: str, etc: str = "/etc/apt") -> str:
    """The mirror that the machine's own apt uses: for `suite`, else for Debian at all, else deb.debian.org."""
    mirrors = [source for source in host_sources(etc) if source.uri.rstrip("/").endswith("/debian")]
    fitting = [source for source in mirrors if suite in source.suites] or mirrors
    return next((source.uri for source in fitting), DEFAULT_MIRROR)


def later(mirror: str, suite: str) -> list[Source]:
    """Where lies what came out after a release. Debian keeps what is urgent in an archive beside its own, others in
    their own; sid has no such suites, and of a folder only those count that it holds.
    """
    if suite in ("sid", "unstable", "experimental"):
        return []
    base = mirror.rstrip("/")
    urgent = f"{base}-security" if base.endswith("/debian") else base
    found = [Source(mirror, (f"{suite}-updates",)), Source(urgent, (f"{suite}-security",))]
    return [
        source
        for source in found
        if not (folder := local_path(source.uri)) or os.path.isdir(f"{folder}/dists/{source.suites[0]}")
    ]


def host_sources(etc: str) -> Iterator[Source]:
    """The enabled binary sources, in the order apt reads them. What cannot be read is passed over."""
    lists = [os.path.join(etc, "sources.list"), *sorted(glob.glob(os.path.join(etc, "sources.list.d/*.list")))]
    for path in lists:
        for line in _text(path).splitlines():
            if source := _one_line(line):
                yield source
    for path in sorted(glob.glob(os.path.join(etc, "sources.list.d/*.sources"))):
        for stanza in stanzas(_text(path)):
            if "deb" in stanza.get("types", "").split() and stanza.get("enabled", "yes").lower() not in ("no", "false"):
                for uri in stanza.get("uris", "").split():
                    yield Source(uri, tuple(stanza.get("suites", "").split()))


def _one_line(line: str) -> Source | None:
    """deb [ option=value … ] uri suite [component …]"""
    words = line.partition("#")[0].split()
    if not words or words[0] != "deb":
        return None
    words = words[1:]
    if words and words[0].startswith("["):
        end = next((index for index, word in enumerate(words) if word.endswith("]")), len(words))
        words = words[end + 1 :]
    return Source(words[0], (words[1],)) if len(words) >= 2 else None


def stanzas(text: str) -> Iterator[Mapping[str, str]]:
    """deb822(5): fields by lower-case name, continuation lines joined."""
    fields: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, ""
        elif line.startswith("#"):
            continue
        elif line[0].isspace():
            if name:
                fields[name] += " " + line.strip()
        else:
            key, _, value = line.partition(":")
            name = key.strip().lower()
            fields[name] = value.strip()


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
