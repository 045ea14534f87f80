"""oci: an image of a registry, an archive, a layout, Docker or podman into an empty root, layer by layer.

skopeo moves the bytes into a layout in the cache, as the caller: it needs the caller's credentials, registries.conf,
signature policy and sockets. Everything it brings is verified and unpacked here. Each layer is a step tree whose key
is the chain of diffIDs up to it, so that images with the same lowest layers share their space.
"""

import os
import re
import shutil
from collections.abc import Sequence
from typing import Any

from treesmith.archive.blob import Stream
from treesmith.archive.changes import Allowance, apply
from treesmith.archive.image import Image, Layout, choose, configuration, digest_of_bytes, matches
from treesmith.archive.layer import Layer, Meta
from treesmith.errors import Error
from treesmith.steps.image import launch, words
from treesmith.steps.inputs import Inputs, Setting, file_facts, host_path, key_of
from treesmith.steps.programs import driver
from treesmith.steps.room import Room
from treesmith.steps.schema import Option, Schema
from treesmith.steps.step import Step

TRANSPORTS = ("docker", "oci", "docker-archive", "docker-daemon", "containers-storage")
schema = Schema(
    kind="oci",
    help="an image of a registry, an archive, a layout, Docker or podman",
    main="image",
    network=True,
    drivers=("skopeo",),
    bootstraps="only",
    options={
        "image": Option(
            "string",
            "docker://NAME[:TAG][@DIGEST], oci:DIR[:TAG], docker-archive:FILE[:NAME], docker-daemon:NAME, "
            "containers-storage:NAME",
            required=True,
        ),
        "trust": Option("bool", "a registry without TLS, or with a certificate that nobody vouches for", False),
        "size": Option("int", "how much it may unpack to, in GiB", 32),
    },
)

_DOMAIN = b"treesmith layer 1"
_PINNED = re.compile(r"docker://(?P<name>[^@]+)@(?P<digest>sha(256:[0-9a-f]{64}|512:[0-9a-f]{128}))")
_TAGGED = re.compile(r":[^:/]*$")
_ENTRIES = 4_000_000


def inputs(step: Step, setting: Setting) -> Inputs:
    transport, rest = _split(step)
    if "size" in step.options and step.integer("size") < 1:
        raise step.error("size must be 1 GiB or more", "size")
    if transport == "oci" and not step.lock:
        return Inputs({"image.digest": _layout(step, rest, setting.arch)[1]}, pinned=True)
    if transport == "docker" and not step.network:
        raise step.error("a registry needs a network", "image")
    if transport == "docker-archive":
        return Inputs(file_facts(_path(step, rest.partition(":")[0]), "image.file"), pinned=True)
    return Inputs({}, pinned=bool(_PINNED.fullmatch(step.text("image"))))


def loose(step: Step) -> str:
    return ""


def run(step: Step, room: Room) -> dict[str, Any]:
    transport, rest = _split(step)
    if transport == "oci":
        folder = _path(step, rest.partition(":")[0])
        source = digest = step.lock.made["manifest"] if step.lock else _layout(step, rest, room.arch)[1]
        layout = Layout(folder)
        image = layout.image(digest, room.arch)
    else:
        layout, image, source = _fetched(step, room, transport, rest)
    if step.lock and list(image.diffs) != step.lock.made["layers"]:
        raise Error(
            f"{step.text('image')} is another image than the one that was locked",
            f"it is {image.digest}, and {step.lock.made['manifest']} was locked",
            f"only docker:// and oci: find an image by its digest; {transport} has what it has",
        )
    allowance = Allowance(step.integer("size") << 30, _ENTRIES)
    limit = (step.integer("size") << 30) + 512 * _ENTRIES

    def lay(number: int) -> None:
        room.say(f"layer {number + 1} of {len(image.layers)}: {image.layers[number].digest}")
        with layout.open(image.layers[number]) as file, Stream(file, image.diffs[number], limit) as stream:
            with room.root() as root:
                apply(stream, root, allowance)
            stream.finish()

    room.stack(_keys(image.diffs), lay)
    defaults = launch(image.config)
    if "chdir" in defaults:
        with room.root() as root, Layer(root) as layer:
            if not layer.is_folder(defaults["chdir"]):  # which who starts the image would make
                layer.folder(defaults["chdir"], Meta(0o755))
    return {
        "image": step.text("image"),
        "digest": source,
        "manifest": image.digest,
        "layers": list(image.diffs),
        "launch": defaults,
    }


def newer(step: Step, room: Room) -> dict[str, str]:
    """The digest that a registry, or a layout, has for the image now; others are not asked."""
    transport, rest = _split(step)
    if transport == "oci":
        return {step.text("image"): _layout(step, rest, room.arch)[1]}
    if transport == "docker" and not _PINNED.fullmatch(f"docker://{rest}"):
        return {step.text("image"): digest_of_bytes(_raw(step, room, f"docker://{rest}"))}
    return {}


def _split(step: Step) -> tuple[str, str]:
    """(transport, what it is to fetch)"""
    given = step.text("image")
    transport, mark, rest = given.partition(":")
    if transport == "docker" and mark:
        rest = rest.removeprefix("//") if rest.startswith("//") else ""
    if transport not in TRANSPORTS or not rest or words(rest) or rest.startswith("-"):
        hint = f'"docker://{given}"?' if given and transport not in TRANSPORTS and not words(given) else ""
        raise step.error(f"{given!r} is no image", "image", f"it begins with {', '.join(TRANSPORTS)} and :", hint)
    return transport, rest


def _path(step: Step, path: str) -> str:
    """The host path of a file or folder, which may be absolute."""
    found = path if path.startswith("/") else host_path(step, "image", path)
    if not os.path.exists(found):
        raise step.error(f"there is no {found}", "image")
    return found


def _layout(step: Step, rest: str, arch: str) -> tuple[str, str]:
    """(folder, digest of the manifest) of oci:DIR[:TAG]."""
    folder, _, tag = rest.partition(":")
    path = _path(step, folder)
    try:
        return path, Layout(path).find(tag, arch)
    except Error as error:
        raise step.error(error.brief, "image", error.details, error.hint) from None


def _keys(diffs: Sequence[str]) -> list[str]:
    keys: list[str] = []
    for diff in diffs:
        keys.append(key_of(keys[-1] if keys else "", {"diff": diff, "step.revision": schema.revision}, _DOMAIN))
    return keys


def _fetched(step: Step, room: Room, transport: str, rest: str) -> tuple[Layout, Image, str]:
    """(layout, image, digest of what was asked for), through skopeo."""
    driver(step, schema)  # or it is an error that says what to install
    cache = room.cache("oci")
    folder, blobs = os.path.join(cache, "step"), os.path.join(cache, "blobs")
    if os.path.lexists(folder):
        shutil.rmtree(folder)
    os.makedirs(blobs, 0o755, exist_ok=True)
    own = Layout(folder, blobs)
    if transport == "docker":
        return _of_registry(step, room, rest, own, folder, blobs)
    path, _, more = rest.partition(":")
    named = f"{_path(step, path)}:{more}".rstrip(":") if transport == "docker-archive" else rest
    _copy(step, room, f"{transport}:{named}", folder, blobs)
    digest = own.find("", room.arch)
    return own, own.image(digest, room.arch), digest


def _of_registry(step: Step, room: Room, rest: str, own: Layout, folder: str, blobs: str) -> tuple[Layout, Image, str]:
    """The manifests are read as the registry has them, so that their digests can be checked; skopeo may convert its own
    copy. What they name is copied by digest: a tag may move meanwhile.
    """
    if step.lock:
        rest = f"{_TAGGED.sub('', rest.partition('@')[0])}@{step.lock.made['digest']}"
    pinned = _PINNED.fullmatch(f"docker://{rest}")
    name = _TAGGED.sub("", pinned["name"] if pinned else rest)
    asked = f"docker://{name}@{pinned['digest']}" if pinned else f"docker://{rest}"
    raw = _raw(step, room, asked)
    source = pinned["digest"] if pinned else digest_of_bytes(raw)
    matches(raw, source)
    digest = choose(raw, source, room.arch)
    if digest != source:
        raw = _raw(step, room, f"docker://{name}@{digest}")
        matches(raw, digest)
    chosen = f"docker://{name}@{digest}"
    _copy(step, room, chosen, folder, blobs)
    config = own.path(configuration(raw, digest).digest)
    if not os.path.exists(config):  # Docker's, which skopeo made OCI's
        data = room.host(["skopeo", "inspect", *_tls(step, "--tls-verify=false"), "--raw", "--config", chosen])
        with open(config, "wb") as file:
            file.write(data)
    return own, own.image(digest, room.arch, raw), source


def _raw(step: Step, room: Room, image: str) -> bytes:
    return room.host(["skopeo", "inspect", *_tls(step, "--tls-verify=false"), "--raw", image])


def _copy(step: Step, room: Room, image: str, folder: str, blobs: str) -> None:
    daemon = room.caller.get("DOCKER_HOST", "") if image.startswith("docker-daemon:") else ""
    room.host([
        "skopeo", "copy", *_tls(step, "--src-tls-verify=false"), *([f"--src-daemon-host={daemon}"] if daemon else []),
        "--dest-oci-accept-uncompressed-layers",
        f"--dest-shared-blob-dir={blobs}", "--remove-signatures", image, f"oci:{folder}:image",
    ])  # fmt: skip


def _tls(step: Step, flag: str) -> list[str]:
    return [flag] if step.is_on("trust") else []
