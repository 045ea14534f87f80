"""What the kinds of Debian's family share: architectures, mirrors, the machine's own sources."""

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from treesmith.steps.inputs import digest_of
from treesmith.steps.source import local_path
from treesmith.steps.step import Step

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"  # whose keys every Debian's apt has

_ARCHITECTURES = {
    "x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf", "i686": "i386", "ppc64le": "ppc64el",
    "loongarch64": "loong64", "parisc": "hppa", "ppc": "powerpc",
}  # fmt: skip
# Debian keeps these in an archive of their own, in sid only.
_PORTS = ("alpha", "m68k", "parisc", "ppc", "ppc64", "sh4", "sparc64")
_SID = ("sid", "unstable", "experimental", "unreleased")
# No mirror has these any more; their keys are in a keyring of their own.
_ARCHIVED = ("squeeze", "wheezy", "jessie", "stretch", "buster")
# In none of Debian's releases before these, nor in its ports any more.
_SINCE = {"riscv64": "trixie", "loongarch64": "forky"}
_RELEASES = (*_ARCHIVED, "bullseye", "bookworm", "trixie", "forky")
_UBUNTU = ["trusty", "xenial", "bionic", "focal", "jammy", "noble", "oracular", "plucky", "questing", "resolute"]


class Archive(NamedTuple):
    """Where a suite is, and what its signatures are checked against."""

    mirror: str  # a URL
    keyring: str
    package: str  # of Debian, that brings the keyring
    known: bool = True  # whether a tree's own apt has its keys


def archive(suite: str, machine: str) -> Archive:
    """The distribution's own, for the kernel's word for an architecture."""
    if suite in _UBUNTU:
        host = "archive.ubuntu.com/ubuntu" if machine in ("x86_64", "i686") else "ports.ubuntu.com/ubuntu-ports"
        return Archive(f"http://{host}", "/usr/share/keyrings/ubuntu-archive-keyring.gpg", "ubuntu-keyring")
    if machine in _PORTS:
        keyring = "debian-ports-archive-keyring"
        return Archive("http://deb.debian.org/debian-ports", f"/usr/share/keyrings/{keyring}.gpg", keyring, known=False)
    if suite in _ARCHIVED:
        keyring = "/usr/share/keyrings/debian-archive-removed-keys.gpg"
        return Archive("http://archive.debian.org/debian", keyring, "debian-archive-keyring")
    return Archive("http://deb.debian.org/debian", KEYRING, "debian-archive-keyring")


def absent(suite: str, machine: str) -> str:
    """Why the distribution has no such suite for a machine, or ""."""
    if machine in _PORTS and suite not in (*_SID, *_UBUNTU):
        return f"Debian has a port to {architecture(machine)} in sid alone"
    since = _SINCE.get(machine, "")
    if since and suite in _RELEASES[: _RELEASES.index(since)]:
        return f"Debian is there for {architecture(machine)} since {since}"
    return ""


def architecture(machine: str) -> str:
    """Debian's word for the kernel's."""
    return _ARCHITECTURES.get(machine, machine)


# A mirror of Debian itself, or a snapshot of one.
_BESIDE = re.compile(r"/debian(?=$|/[0-9]{8}T[0-9]{6}Z$)")
_OF_PORTS = re.compile(r"/debian-ports($|/[0-9]{8}T[0-9]{6}Z$)")


class Source(NamedTuple):
    """A line of the host's sources: sources.list(5)."""

    uri: str
    suites: tuple[str, ...]


def host_mirror(suite: str, machine: str, etc: str = "/etc/apt") -> str:
    """The mirror that the machine's own apt uses: for `suite`, else for its distribution at all, else the latter's."""
    own = archive(suite, machine).mirror
    mirrors = [source for source in host_sources(etc) if source.uri.rstrip("/").endswith(own[own.rindex("/") :])]
    fitting = [source for source in mirrors if suite in source.suites] or (mirrors if suite not in _ARCHIVED else [])
    return next((source.uri for source in fitting), own)


def later(mirror: str, suite: str) -> list[Source]:
    """Where lies what came out after a release. Debian keeps what is urgent in an archive beside its own, others in
    their own; sid has no such suites, but its ports what they need and Debian does not have. Of a folder only those
    count that it holds.
    """
    if suite in _SID:
        is_ports = suite != "unreleased" and _OF_PORTS.search(mirror.rstrip("/"))
        found = [Source(mirror, ("unreleased",))] if is_ports else []
    else:
        urgent = _BESIDE.sub("/debian-security", mirror.rstrip("/"))
        security = f"{suite}/updates" if suite in _ARCHIVED else f"{suite}-security"
        found = [Source(mirror, (f"{suite}-updates",)), Source(urgent, (security,))]
    return [
        source
        for source in found
        if not (folder := local_path(source.uri)) or os.path.isdir(f"{folder}/dists/{source.suites[0]}")
    ]


def line(source: Source, components: Sequence[str], options: Sequence[str] = ()) -> str:
    """Of sources.list(5), for the first of the source's suites; one that is a folder has no components."""
    suite = source.suites[0]
    words = ["deb", *([f"[{' '.join(options)}]"] if options else []), source.uri, suite]
    return " ".join([*words, *(components if not suite.endswith("/") else ())])


def release(step: Step, source: Source) -> str:
    """The state of a mirror that is a folder: the digest of a suite's signed list of contents. Error: there is none."""
    suite = source.suites[0]
    folder = os.path.join(local_path(source.uri), *(() if suite.endswith("/") else ("dists",)), suite)
    for name in ("InRelease", "Release"):
        if os.path.isfile(os.path.join(folder, name)):
            return digest_of(os.path.join(folder, name))
    raise step.error(f"no suite {suite} in {source.uri}", "mirror", f"{folder} holds no InRelease and no Release")


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


def with_sources(text: str, deb822: bool) -> str:
    """A file of apt's sources that also names the source packages of what it names."""
    if deb822:
        return re.sub(r"^(types:)[ \t]*deb[ \t]*$", r"\1 deb deb-src", text, flags=re.MULTILINE | re.IGNORECASE)
    lines = text.splitlines()
    return "\n".join([*lines, *(re.sub(r"^\s*deb\b", "deb-src", line) for line in lines if _one_line(line)), ""])


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
