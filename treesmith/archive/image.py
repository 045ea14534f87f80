"""Images in an OCI image layout (image-layout.md, manifest.md, image-index.md, config.md), or in Docker's words for the
same. Every document and blob is what its digest and size say, or it is an Error: nothing here trusts what it reads.
"""

import errno
import hashlib
import io
import json
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from treesmith.archive.blob import check, digested
from treesmith.errors import Error

_LARGEST = 4 << 20  # bytes of a document: what registries take
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_LAYERS = (
    "application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)  # fmt: skip
_NAME = "org.opencontainers.image.ref.name"
# The kernel's word -> Go's, and the variants that will do.
_PLATFORMS = {
    "x86_64": ("amd64", ("", "v1")), "aarch64": ("arm64", ("", "v8")), "armv7l": ("arm", ("v7", "", "v6", "v5")),
    "i686": ("386", ("",)), "ppc64le": ("ppc64le", ("",)), "riscv64": ("riscv64", ("",)), "s390x": ("s390x", ("",)),
    "loongarch64": ("loong64", ("",)),
}  # fmt: skip
_NESTED = 4


class Descriptor(NamedTuple):
    """descriptor.md: what something is, by digest and size in bytes."""

    digest: str
    size: int
    media: str


class Image(NamedTuple):
    """digest: the manifest's. layers: the lowest first; diffs: of the same, unpacked. config: checked as JSON only."""

    digest: str
    config: Mapping[str, Any]
    layers: tuple[Descriptor, ...]
    diffs: tuple[str, ...]


class Layout:
    """The layout in `folder`; `blobs`: where its blobs are, if that is elsewhere."""

    def __init__(self, folder: str, blobs: str = "") -> None:
        self._folder = folder
        self._blobs = blobs or f"{folder}/blobs"

    def find(self, tag: str, arch: str) -> str:
        """The digest of the manifest for the architecture (the kernel's word), of the image `tag`, "": the only one."""
        path = f"{self._folder}/index.json"
        try:
            with _opened(path) as file:
                index = parse(file.read(_LARGEST + 1), path)
        except OSError as error:
            raise Error(f"{self._folder} is no OCI layout", f"{path}: {error.strerror}") from None
        listed = _dicts(index, "manifests", path)
        if tag:
            listed = [one for one in listed if _table(one, "annotations", path).get(_NAME) == tag]
        if not listed:
            raise Error(f"{self._folder} has no image {tag}".rstrip(), hint=f"its tags: {self._tags(index, path)}")
        chosen = listed[0] if len(listed) == 1 else _fitting(listed, arch, path)
        for _ in range(_NESTED):
            found = _descriptor(chosen, path)
            if found.media not in _INDEXES:
                return self._manifest_digest(found)
            chosen = _fitting(_dicts(self.document(found), "manifests", found.digest), arch, found.digest)
        raise Error(f"{path}: indexes within indexes")

    def image(self, digest: str, arch: str, manifest: bytes = b"") -> Image:
        """The image with the manifest `digest`, whose bytes may be handed in. Error: it is of another architecture."""
        if manifest:
            matches(manifest, digest)
            document = parse(manifest, digest)
        else:
            document = self.document(Descriptor(digest, self._size(digest), ""))
        if document.get("mediaType", _MANIFESTS[0]) not in _MANIFESTS:
            raise Error(f"{digest} is no image's manifest", str(document.get("mediaType"))[:100])
        config = self.document(_descriptor(_table(document, "config", digest), digest))
        layers = tuple(_descriptor(one, digest) for one in _dicts(document, "layers", digest))
        for layer in layers:
            if not layer.media.startswith(_LAYERS):
                raise Error(f"a layer of the image is {layer.media[:100]!r}, not tar", layer.digest)
        diffs = _table(config, "rootfs", "the configuration").get("diff_ids")
        if not isinstance(diffs, list) or not all(isinstance(diff, str) for diff in diffs):
            raise Error("the image's configuration names no layers", digest)
        if len(diffs) != len(layers):
            raise Error(f"the image has {len(layers)} layers, its configuration {len(diffs)}", digest)
        for diff in diffs:
            digested(diff)
        wanted = _PLATFORMS.get(arch, (arch, ()))[0]
        if config.get("architecture", wanted) != wanted or config.get("os", "linux") != "linux":
            what = f"{config.get('os')}/{config.get('architecture')}"[:100]
            raise Error(f"the image is for {what}, not linux/{wanted}", digest)
        return Image(digest, config, layers, tuple(diffs))

    def document(self, descriptor: Descriptor) -> dict[str, Any]:
        """A JSON blob."""
        if descriptor.size > _LARGEST:
            raise Error(f"{descriptor.digest} is too large for what it is", f"{descriptor.size} bytes")
        with self.open(descriptor) as file:
            return parse(file.read(), descriptor.digest)

    def open(self, descriptor: Descriptor) -> io.BufferedReader:
        """A blob, its bytes checked."""
        path = self.path(descriptor.digest)
        try:
            file = _opened(path)  # the caller's
        except OSError as error:
            raise Error(f"the image lacks the blob {descriptor.digest}", f"{path}: {error.strerror}") from None
        try:
            check(file, descriptor.digest, descriptor.size, f"the blob {descriptor.digest}")
        except BaseException:
            file.close()
            raise
        return file

    def path(self, digest: str) -> str:
        return os.path.join(self._blobs, *digested(digest))

    def _size(self, digest: str) -> int:
        try:
            return os.stat(self.path(digest)).st_size
        except OSError as error:
            raise Error(f"the image lacks the blob {digest}", f"{self.path(digest)}: {error.strerror}") from None

    def _manifest_digest(self, found: Descriptor) -> str:
        self.document(found)  # which is what its descriptor says
        return found.digest

    def _tags(self, index: Mapping[str, Any], path: str) -> str:
        tags = [_table(one, "annotations", path).get(_NAME) for one in _dicts(index, "manifests", path)]
        return ", ".join(str(tag) for tag in tags if tag) or "none"


def _opened(path: str) -> io.BufferedReader:
    """A file, and nothing that would keep us waiting or has no end. OSError: it is none."""
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no file")
    return file


def choose(raw: bytes, digest: str, arch: str) -> str:
    """The manifest's digest for an architecture, of the bytes that a registry gave: an index, or a manifest itself."""
    document = parse(raw, digest)
    if document.get("mediaType") in _INDEXES or ("manifests" in document and "config" not in document):
        return _descriptor(_fitting(_dicts(document, "manifests", digest), arch, digest), digest).digest
    return digest


def configuration(raw: bytes, digest: str) -> Descriptor:
    """Where the configuration of an image is, of its manifest's bytes."""
    return _descriptor(_table(parse(raw, digest), "config", digest), digest)


def digest_of_bytes(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def matches(data: bytes, digest: str) -> None:
    """Error: they are not what the digest says."""
    algorithm, value = digested(digest)
    if hashlib.new(algorithm, data).hexdigest() != value:
        raise Error(f"the manifest is not {digest}", f"it is {digest_of_bytes(data)}")


def parse(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object."""
    try:
        if len(data) > _LARGEST:
            raise ValueError(f"larger than {_LARGEST >> 20} MiB")
        document = json.loads(data)
        if not isinstance(document, dict):
            raise ValueError("no JSON object")
    except (ValueError, RecursionError) as error:
        raise Error(f"{what} is broken", str(error)) from None
    return document


def _fitting(listed: Sequence[Mapping[str, Any]], arch: str, what: str) -> Mapping[str, Any]:
    """The best of an index's manifests for an architecture."""
    word, variants = _PLATFORMS.get(arch, (arch, ("",)))
    offered: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for one in reversed(listed):  # the first of two alike counts
        platform = _table(one, "platform", what)
        offered[tuple(str(platform.get(part) or "") for part in ("os", "architecture", "variant"))] = one
    for variant in variants:
        if found := offered.get(("linux", word, variant)):
            return found
    there = sorted("/".join(filter(None, platform)) for platform in offered)
    raise Error(f"there is no image for linux/{word}", f"there are: {', '.join(there)}"[:500])


def _descriptor(table: Mapping[str, Any], what: str) -> Descriptor:
    digest, size, media = table.get("digest"), table.get("size"), table.get("mediaType", "")
    if not isinstance(digest, str) or not isinstance(media, str) or type(size) is not int or size < 0:
        raise Error(f"{what} is broken", "a descriptor without digest, size or media type")
    digested(digest)
    return Descriptor(digest, size, media)


def _table(table: Mapping[str, Any], key: str, what: str) -> Mapping[str, Any]:
    found = table.get(key) or {}
    if not isinstance(found, dict):
        raise Error(f"{what} is broken", f"{key} is no object")
    return found


def _dicts(table: Mapping[str, Any], key: str, what: str) -> list[Mapping[str, Any]]:
    found = table.get(key)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Error(f"{what} is broken", f"{key} is no list of objects")
    return found
