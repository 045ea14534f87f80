"""Images in a layout: which manifest counts, that every byte is what its digest says, what a launch of it would be."""

import gzip
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from archives import entry, pack
from layouts import INDEX, MANIFEST, Document, Written, digest, named

from treesmith.archive.blob import Stream
from treesmith.archive.image import Descriptor, Layout, choose
from treesmith.errors import Error
from treesmith.recipe import defaults
from treesmith.steps.image import launch

ZERO = "sha256:" + "0" * 64


def layout(written: Written) -> Layout:
    return Layout(str(written.folder))


def an_image(written: Written, layer: bytes = b"", **more: Any) -> Document:
    """Of one layer."""
    return written.image(written.blob(layer), **{"diffs": [digest(layer)], **more})


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "layout")


def platform(architecture: str, variant: str = "", os: str = "linux") -> dict[str, Any]:
    return {"platform": {"architecture": architecture, "os": os, **({"variant": variant} if variant else {})}}


def test_an_image_and_its_tag(written: Written) -> None:
    one, two = an_image(written, b"one"), an_image(written, b"two")
    written.index({**one, **named("a")}, {**two, **named("b")})
    assert layout(written).find("b", "x86_64") == two["digest"]
    image = layout(written).image(two["digest"], "x86_64")
    assert image.layers[0].size == 3 and image.diffs == (f"sha256:{hashlib.sha256(b'two').hexdigest()}",)
    with pytest.raises(Error, match="has no image c") as caught:
        layout(written).find("c", "x86_64")
    assert caught.value.hint == "its tags: a, b"
    with pytest.raises(Error, match="no image for linux/amd64"):
        layout(written).find("", "x86_64")  # which of the two?


@pytest.mark.parametrize(
    ("arch", "chosen"),
    [("x86_64", 1), ("aarch64", 3), ("armv7l", 5), ("riscv64", None)],
)
def test_the_platform(written: Written, arch: str, chosen: int | None) -> None:
    kinds = [
        platform("amd64", os="windows"), platform("amd64"), platform("arm64", "v9"), platform("arm64", "v8"),
        platform("arm", "v6"), platform("arm", "v7"),
    ]  # fmt: skip
    listed = [{**an_image(written, bytes([number])), **kind} for number, kind in enumerate(kinds)]
    nested = written.json({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}, INDEX)
    written.index(nested)
    raw = json.dumps({"mediaType": INDEX, "manifests": listed}).encode()
    if chosen is None:
        with pytest.raises(Error, match="no image for linux/riscv64") as caught:
            layout(written).find("", arch)
        assert "linux/amd64" in caught.value.details and "windows/amd64" in caught.value.details
    else:
        assert layout(written).find("", arch) == listed[chosen]["digest"] == choose(raw, "sha256:x", arch)


def test_an_image_of_another_architecture(written: Written) -> None:
    one = an_image(written, architecture="arm64")
    with pytest.raises(Error, match="is for linux/arm64, not linux/amd64"):
        layout(written).image(one["digest"], "x86_64")


@pytest.mark.parametrize("part", ["config", "layers", "manifest"])
@pytest.mark.parametrize("how", ["changed", "longer", "cut off", "gone"])
def test_a_blob_that_is_not_what_it_should_be(written: Written, part: str, how: str) -> None:
    manifest = an_image(written, b"layer")
    document = json.loads(layout(written).open(Descriptor(manifest["digest"], manifest["size"], "")).read())
    blob = {"config": document["config"], "layers": document["layers"][0], "manifest": manifest}[part]
    path = Path(layout(written).path(blob["digest"]))
    data = path.read_bytes()
    match how:
        case "changed":
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        case "longer":
            path.write_bytes(data + b" ")
        case "cut off":
            path.write_bytes(data[:-1])
        case "gone":
            path.unlink()
    written.index(manifest)
    with pytest.raises(Error, match=r"is damaged|is not what it should be|lacks the blob"):
        image = layout(written).image(layout(written).find("", "x86_64"), "x86_64")
        layout(written).open(image.layers[0])


@pytest.mark.parametrize(
    "document",
    [
        [], {}, {"config": 1}, {"config": {"digest": "sha256:../../etc/passwd", "size": 1}, "layers": []},
        {"config": {"digest": "md5:00", "size": 1}}, {"mediaType": INDEX}, {"config": {"digest": ZERO, "size": -1}},
        {"config": {"digest": ZERO, "size": True}}, {"config": {"digest": ZERO, "size": 1 << 40}},
    ],
)  # fmt: skip
def test_manifests_that_make_no_sense(written: Written, document: object) -> None:
    blob = written.json(document, MANIFEST)
    with pytest.raises(Error):
        layout(written).image(blob["digest"], "x86_64")


def test_layers_and_their_diffs(written: Written) -> None:
    config = {"rootfs": {"diff_ids": []}}
    with pytest.raises(Error, match="1 layers, its configuration 0"):
        layout(written).image(an_image(written, b"x", **config)["digest"], "x86_64")
    with pytest.raises(Error, match="no digest"):
        layout(written).image(an_image(written, b"x", rootfs={"diff_ids": ["x"]})["digest"], "x86_64")
    with pytest.raises(Error, match="names no layers"):
        layout(written).image(an_image(written, b"x", rootfs={"diff_ids": "x"})["digest"], "x86_64")


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-c"], input=data, capture_output=True, check=True).stdout


PLAIN = pack(*(entry(f"file{number}", data=bytes([number]) * 70_000) for number in range(40)))
PACKED = {
    "plain": PLAIN,
    "gzip": gzip.compress(PLAIN),
    "gzip in two": gzip.compress(PLAIN[:999]) + gzip.compress(PLAIN[999:]),
    "zstd": zstd(PLAIN),
    "zstd in two": zstd(PLAIN[:999]) + zstd(PLAIN[999:]),
}


def unpacked(path: Path, data: bytes, diff: str = "", limit: int = 1 << 30) -> bytes:
    path.write_bytes(data)
    diff = diff or f"sha256:{hashlib.sha256(PLAIN).hexdigest()}"
    found = b""
    with open(path, "rb") as file, Stream(file, diff, limit) as stream:
        while piece := stream.read(7777):
            assert len(piece) <= 7777
            found += piece
        stream.finish()
    return found


@pytest.mark.parametrize("how", PACKED)
def test_how_layers_are_packed(tmp_path: Path, how: str) -> None:
    path = tmp_path / "blob"
    assert unpacked(path, PACKED[how]) == PLAIN
    with pytest.raises(Error, match="does not hold what"):
        unpacked(path, PACKED[how], diff="sha256:" + "0" * 64)
    with pytest.raises(Error, match="unpacks to more"):
        unpacked(path, PACKED[how], limit=len(PLAIN) - 1)
    for length in range(5, len(PACKED[how]), 1 + len(PACKED[how]) // 40):
        with pytest.raises(Error):
            unpacked(path, PACKED[how][:length])


# what an image asks for


def test_launch_defaults() -> None:
    config = {
        "config": {
            "Entrypoint": ["/bin/app"], "Cmd": ["--port", "80"], "Env": ["PATH=/bin", "A=b=c", "odd-name=x", "no"],
            "User": "app:www", "WorkingDir": "/srv/./app/", "StopSignal": "SIGRTMIN+3", "Volumes": {"/data": {}},
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "443": {}, "99999/tcp": {}, "9/sctp": {}},
        }
    }  # fmt: skip
    assert launch(config) == {
        "command": ["/bin/app", "--port", "80"], "env": {"PATH": "/bin", "A": "b=c", "no": ""}, "user": "app:www",
        "chdir": "/srv/app", "stop-signal": "SIGRTMIN+3",
        "ports": ["127.0.0.1:80:80", "127.0.0.1:53:53/udp", "127.0.0.1:443:443"],
    }  # fmt: skip


@pytest.mark.parametrize("name", ["15", "TERM", "SIGTERM", "sigterm"])
def test_stop_signals(name: str) -> None:
    assert launch({"config": {"StopSignal": name}}) == {"stop-signal": "SIGTERM"}


@pytest.mark.parametrize(
    "config",
    [
        None, [], "x", {"Entrypoint": "x"}, {"Cmd": [1]}, {"Env": {"A": "b"}}, {"User": 5}, {"WorkingDir": []},
        {"StopSignal": "NOPE"}, {"ExposedPorts": ["80"]}, {"Cmd": ["a\0b"]}, {"User": "a\0b"}, {"WorkingDir": "/"},
        {"WorkingDir": "/.."},
    ],
)  # fmt: skip
def test_what_no_launch_could_do_is_left_out(config: object) -> None:
    assert launch({"config": config}) == {}


def test_it_is_a_launch_table_and_bounds_nothing() -> None:
    """Whatever an image says, it can never say a network, a bind or a boot."""
    hostile = {"network": "host", "Binds": ["/:/host"], "boot": True, "Privileged": True}
    made = launch({"config": {**hostile, "Cmd": ["x"], "WorkingDir": "../../etc", "HostConfig": hostile}})
    assert made == {"command": ["x"], "chdir": "/etc"}

    def fail(message: str, key: str, hint: str = "") -> None:
        raise AssertionError(message)

    defaults.check(made, fail)  # type: ignore[arg-type]
