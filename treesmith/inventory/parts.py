"""What a tree is made of, package by package, with the archive of each: for whoever has to list it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from treesmith.inventory.arch import arch
from treesmith.inventory.archives import Archive, archives
from treesmith.inventory.debian import debian

# Kind of step -> whose packages they are, in the words of package URLs: github.com/package-url/purl-spec.
_TYPES = {
    "debootstrap": "deb", "apt": "deb", "package": "deb", "make": "deb", "dnf": "rpm", "zypper": "rpm",
    "pacman": "alpm", "pip": "pypi", "npm": "npm", "gem": "gem", "cpan": "cpan", "apk": "apk",
}  # fmt: skip
_LIVE = {"deb": debian, "alpm": arch}


class Part(NamedTuple):
    """One package. type: a package URL's."""

    type: str
    name: str
    version: str
    arch: str = ""  # in the words of its manager
    archive: Archive | None = None
    namespace: str = ""  # where it has one of its own: an npm scope, a CPAN author
    tag: str = ""  # an image's


def parts(steps: Iterable[Mapping[str, Any]], root: int) -> list[Part]:
    """Of a tree: what its record's steps say, and of dpkg and pacman what is there now, whoever brought it."""
    found: dict[tuple[str, ...], Part] = {}
    known: dict[str, dict[str, Archive]] = {}
    for step in steps:
        made, kind = step.get("made", {}), str(step.get("kind"))
        own, type = archives(made), str(made.get("type") or _TYPES.get(kind, ""))
        known.setdefault(type, {}).update(own)
        if kind == "oci":
            found[("oci", str(made.get("image")))] = _image(made)
        elif type and type not in _LIVE:
            inputs = step.get("inputs", {})
            where = str(inputs.get("venv") or inputs.get("to"))
            for part in _read(type, made, own, bool(inputs.get("venv"))):
                found[(type, where, part.namespace, part.name, part.version)] = part
    for type, read in _LIVE.items():
        for key, version in read(root).items():
            found[(type, key)] = _plain(type, key, version, known.get(type, {}).get(key))
    return sorted(found.values(), key=lambda part: part[:4])


def _plain(type: str, key: str, version: str, archive: Archive | None) -> Part:
    mark = {"deb": ":", "rpm": "."}.get(type, "")
    name, _, arch = key.rpartition(mark) if mark else (key, "", "")
    return Part(type, name, version, arch, archive)


def _read(type: str, made: Mapping[str, Any], own: Mapping[str, Archive], venv: bool) -> Iterator[Part]:
    packages = made.get("packages")
    for key, version in packages.items() if isinstance(packages, Mapping) else ():
        archive = own.get(key)
        match type:
            case "pypi":
                if venv or archive or key in made.get("unpinned", ()):  # else it is the distribution's
                    yield Part(type, re.sub("[-_.]+", "-", key).lower(), version, archive=archive)
            case "npm":
                scope, _, name = key.rpartition("node_modules/")[2].rpartition("/")
                yield Part(type, name, version, archive=archive, namespace=scope)
            case "gem":
                for one in version.split(", "):
                    file = next((own[name] for name in own if _is_gem(name, f"{key}-{one}")), None)
                    yield Part(type, key, one, archive=file)
            case "cpan":
                if not own:
                    yield Part(type, key.replace("::", "-"), version)
            case _:
                yield _plain(type, key, version, archive)
    for key, archive in own.items() if type == "cpan" else ():
        name, _, version = key.rpartition("-")
        yield Part(type, name, version, archive=archive, namespace=archive.source.rpartition("/")[0].rpartition("/")[2])


def _is_gem(name: str, wanted: str) -> bool:
    """Whether it is called so, or so for a platform."""
    return name == wanted or name.startswith(f"{wanted}-")


def _image(made: Mapping[str, Any]) -> Part:
    """By its manifest; where it is, and its tag, as an image reference has them."""
    reference = str(made.get("image")).partition(":")[2].removeprefix("//").partition("@")[0]
    place, _, tag = reference.rpartition(":") if ":" in reference.rpartition("/")[2] else (reference, "", "")
    digest = str(made.get("manifest", ""))
    return Part("oci", place.rpartition("/")[2].lower(), digest, archive=Archive(digest, place), tag=tag)
