"""Images that other tools made, out of a real registry: the trees are, entry by entry, as umoci and podman unpack."""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import filesystems
import images
import pytest
from archives import entry, folder, pack
from command import Command, on
from images import Registry, sh
from layouts import Written, digest

from treesmith.compare.differences import differences
from treesmith.compare.walk import Entry, walk
from treesmith.store import Store, create_store


def write(folder: Path, image: str, more: str = "", name: str = "app") -> str:
    path = folder / f"{name}.toml"
    path.write_text(f'[[step]]\noci = {{ image = "{image}", trust = true }}\n{more}')
    return str(path)


def entries(store: Store, name: str) -> list[Entry]:
    view = store.backend.open(store.find(name), "ro")
    root = view.mount()
    try:
        return list(walk(root))
    finally:
        os.close(root)
        view.close()


def of_folder(path: Path) -> list[Entry]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return list(walk(fd))
    finally:
        os.close(fd)


@pytest.mark.parametrize("tool", images.TOOLS)
def test_what_others_make_of_it(
    store: Store, treesmith: Command, registry: Registry, tmp_path: Path, tool: str
) -> None:
    if tool == "docker" and not shutil.which("dockerd"):
        pytest.skip("docker is not installed")
    name = registry.name(tool)
    treesmith("build", write(tmp_path, f"docker://{name}"))
    ours = entries(store, "app")
    # What two layers hold of one file is two files on overlay, and links are split; both others keep plain folders.
    ignoring = ("links", "mtime") if store.backend.name == "overlay" else ("mtime",)
    if tool != "buildah":  # whose layers are zstd, which this umoci does not read
        assert not told(images.unpacked(name, tmp_path / "umoci"), ours, ignoring)
    if tool != "umoci":  # podman fails on a file that replaces a folder whose content has whiteouts
        with images.mounted(name, tmp_path / "podman") as root:
            assert set(told(root, ours, ignoring)) <= {"/: mode: 365 -> 493"}  # podman's own idea
    done = treesmith("launch", "app")
    assert done.stdout == images.SAYS
    launch = store.find("app").launch
    assert launch["stop-signal"] == "SIGINT" and launch["ports"] == ["127.0.0.1:80:80"] and "network" not in launch


def told(theirs: Path, ours: list[Entry], ignoring: tuple[str, ...]) -> list[str]:
    """Times count for what is no folder: the others' whiteouts leave new ones on folders."""
    times = {entry.path: entry.mtime for entry in of_folder(theirs) if entry.type != "directory"}
    wrong = [entry.path for entry in ours if entry.path in times and times[entry.path] != entry.mtime]
    found = [str(one) for one in differences(of_folder(theirs), ours, ignoring)]
    return found + [f"{path}: mtime" for path in wrong]


def test_layers_are_shared(store: Store, treesmith: Command, registry: Registry, tmp_path: Path) -> None:
    image = f"docker://{registry.name('podman')}"
    treesmith("build", write(tmp_path, image, name="one"))
    count = len(store.trees())
    treesmith("build", write(tmp_path, image, '[[step]]\nrun = "echo more >/more"\n', "two"))
    # Its own step of the same key is kept; the second recipe adds its step and its tree.
    assert len(store.trees()) == count + 2
    treesmith("rm", "one", "two")
    treesmith("prune", "--step-age=0")
    assert not store.trees()
    treesmith("build", write(tmp_path, image, name="three"))
    assert treesmith("launch", "three").stdout == images.SAYS


def test_a_tag_is_unpinned_and_a_digest_is_not(
    store: Store, treesmith: Command, registry: Registry, tmp_path: Path
) -> None:
    name = registry.name("podman")
    tagged = write(tmp_path, f"docker://{name}")
    treesmith("build", tagged)
    step = store.find("app").steps[0]
    raw = sh("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}")
    assert step["made"]["digest"] == f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}" and not step["pinned"]
    assert "unpinned, less than a minute old" in treesmith("build", tagged, "--dry-run").stdout
    pinned = write(tmp_path, f"docker://{name}@{step['made']['digest']}", name="pinned")
    treesmith("build", pinned)
    assert "unpinned" not in treesmith("build", pinned, "--dry-run").stdout
    assert store.find("pinned").steps[0]["made"]["layers"] == step["made"]["layers"]
    assert json.loads(treesmith("history", "--json", "pinned").stdout)["steps"][0]["pinned"] is True
    wrong = write(tmp_path, f"docker://{name}@sha256:{'0' * 64}", name="wrong")
    done = treesmith("build", wrong, status=1)
    assert "wrong: step 1: oci: skopeo failed with status 1" in done.stderr and "manifest unknown" in done.stderr


def test_a_locked_image(store: Store, treesmith: Command, registry: Registry, tmp_path: Path) -> None:
    def push(tool: str) -> None:
        tls = ("--src-tls-verify=false", "--dest-tls-verify=false")
        sh("skopeo", "copy", "-q", *tls, f"docker://{registry.name(tool)}", f"docker://{registry.name('moving')}")

    push("podman")
    step = '[[step]]\nrun = "mkdir -p /var/log; date >/var/log/now"\n'
    recipe = write(tmp_path, f"docker://{registry.name('moving')}", step)
    treesmith("build", recipe)
    treesmith("lock", recipe)
    made = store.find("app").steps[0]["made"]
    assert not json.loads(treesmith("outdated", "app", "--json").stdout)["changes"]
    push("umoci")
    (change,) = json.loads(treesmith("outdated", "app", "--json", "--exit-code", status=1).stdout)["changes"]
    assert change["package"].endswith("/moving:1") and change["old"] == made["digest"] != change["new"]
    treesmith("build", "--locked", recipe, "--name=again")
    treesmith("build", "--refresh", recipe)
    assert store.find("again").steps[0]["made"] == made
    assert store.find("app").steps[0]["made"]["layers"] != made["layers"]
    assert next(entry.size for entry in entries(store, "again") if entry.path == "var/log/now") == 0


@pytest.mark.parametrize("kind", ["oci:{}:image", "oci:{}", "docker-archive:{}", "docker-archive:{}:some/name:2"])
def test_images_on_disk(store: Store, treesmith: Command, layout: Path, tmp_path: Path, kind: str) -> None:
    path = layout
    if kind.startswith("docker-archive"):
        path = tmp_path / "image.tar"
        sh("skopeo", "copy", "-q", f"oci:{layout}:image", f"docker-archive:{path}:some/name:2")
    recipe = write(tmp_path, kind.format(path))
    treesmith("build", recipe)
    assert treesmith("launch", "app").stdout == images.SAYS and store.find("app").steps[0]["pinned"]
    assert "keep" in treesmith("build", recipe, "--dry-run").stdout


def test_images_of_podman(store: Store, treesmith: Command, layout: Path, tmp_path: Path) -> None:
    podman = images.storage("podman", tmp_path)
    sh(*podman, "pull", "-q", f"oci:{layout}:image")
    digest = sh(*podman, "images", "-q", "--no-trunc").strip()
    driver = f"vfs@{tmp_path}/storage+{podman[4]}"
    treesmith("build", write(tmp_path, f"containers-storage:[{driver}]@{digest.removeprefix('sha256:')}"))
    assert treesmith("launch", "app").stdout == images.SAYS


@pytest.mark.skipif(not shutil.which("dockerd"), reason="docker is not installed")
def test_images_of_docker(store_path: Path, layout: Path, tmp_path: Path) -> None:
    create_store(str(store_path), "overlay")
    treesmith = on(store_path)
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())  # a socket's path is 107 bytes at most
    try:
        with images.daemon(folder) as docker:
            sh("skopeo", "copy", "-q", f"oci:{layout}:image", f"docker-archive:{tmp_path}/image.tar:mine:1")
            sh(*docker, "load", "-q", "-i", f"{tmp_path}/image.tar")
            treesmith("build", write(tmp_path, "docker-daemon:mine:1"), DOCKER_HOST=f"unix://{folder}/docker.sock")
        assert treesmith("launch", "app").stdout == images.SAYS
    finally:
        shutil.rmtree(folder)


def test_an_opaque_mark_is_the_overlays_own(tmp_path: Path) -> None:
    store = create_store(str(tmp_path / "store"), "overlay")
    layers = [
        pack(
            folder("d", mode=0o2751, uid=5), *(entry(f"d/{number}") for number in range(9)), folder("e"), entry("e/x")
        ),
        pack(entry("d/.wh..wh..opq"), entry("d/new"), entry("e/.wh.x")),
    ]
    written = Written(tmp_path / "layout")
    written.index(written.image(*(written.blob(layer) for layer in layers), diffs=[digest(layer) for layer in layers]))
    on(tmp_path / "store")("build", write(tmp_path, "oci:layout"))
    fs = next(Path(store.path, "layers").glob("*/fs/d/new")).parent.parent
    assert os.getxattr(fs / "d", "user.overlay.opaque") == b"y" and os.listdir(fs / "d") == ["new"]
    assert "user.overlay.opaque" not in os.listxattr(fs / "e") and (fs / "e/x").is_char_device()
    found = {entry.path: entry for entry in entries(store, "app")}
    assert sorted(found) == ["", "d", "d/new", "e"] and (found["d"].mode, found["d"].uid) == (0o2751, 5)


# what is refused


def manifest(layout: Path) -> tuple[Path, dict[str, object]]:
    index = json.loads((layout / "index.json").read_text())
    path = layout / "blobs" / index["manifests"][0]["digest"].replace(":", "/")
    return path, json.loads(path.read_text())


@pytest.mark.parametrize("how", ["changed", "cut off", "gone"])
def test_a_spoilt_layer(store: Store, treesmith: Command, layout: Path, tmp_path: Path, how: str) -> None:
    digest = manifest(layout)[1]["layers"][1]["digest"]  # type: ignore[index]
    blob = layout / "blobs" / digest.replace(":", "/")
    data = blob.read_bytes()
    if how == "gone":
        blob.unlink()
    else:
        blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if how == "changed" else data[:-1])
    done = treesmith("build", write(tmp_path, f"oci:{layout}"), status=1)
    said = {"changed": "is not what it should be", "cut off": "is damaged", "gone": "lacks the blob"}[how]
    assert said in done.stderr and digest in done.stderr and "the whole log:" in done.stderr
    assert not store.names() and not list((tmp_path / "store/staging").iterdir())


def test_a_registry_that_hands_out_something_else(
    treesmith: Command, layout: Path, registry: Registry, tmp_path: Path
) -> None:
    digest = manifest(layout)[1]["layers"][2]["digest"]  # type: ignore[index]
    blob = registry.blob(digest)
    data = blob.read_bytes()
    try:
        blob.write_bytes(data[:-9] + b"somewhere")
        done = treesmith("build", write(tmp_path, f"docker://{registry.name('podman')}"), status=1)
    finally:
        blob.write_bytes(data)
    assert "step 1: oci: skopeo failed" in done.stderr and "did not match" in done.stderr


def test_a_layer_that_is_not_what_the_configuration_says(treesmith: Command, layout: Path, tmp_path: Path) -> None:
    path, document = manifest(layout)
    layers = document["layers"]
    assert isinstance(layers, list)
    layers[1], layers[2] = layers[2], layers[1]
    data = json.dumps(document).encode()
    value = hashlib.sha256(data).hexdigest()
    path.with_name(value).write_bytes(data)
    index = json.loads((layout / "index.json").read_text())
    index["manifests"][0] |= {"digest": f"sha256:{value}", "size": len(data)}
    (layout / "index.json").write_text(json.dumps(index))
    done = treesmith("build", write(tmp_path, f"oci:{layout}"), status=1)
    assert "a layer does not hold what the image's configuration says" in done.stderr


def test_what_makes_no_image(treesmith: Command, registry: Registry, tmp_path: Path) -> None:
    for image, status, said in (
        ("debian:12", 2, '"docker://debian:12"?'),
        ("docker://", 2, "is no image"),
        ("docker:debian", 2, "is no image"),
        ("oci:/nowhere", 2, "there is no /nowhere"),
        ("docker://127.0.0.1:9/x:1", 1, "connection refused"),
        (f"docker://{registry.host}/nosuch:1", 1, "manifest unknown"),
    ):
        done = treesmith("build", write(tmp_path, image), status=status)
        assert said in done.stderr, done.stderr
    path = tmp_path / "plain.toml"
    path.write_text(f'[[step]]\noci = "docker://{registry.name("podman")}"\n')
    assert "server gave HTTP response to HTTPS client" in treesmith("build", str(path), status=1).stderr
    path.write_text(f'[[step]]\nnetwork = false\noci = "docker://{registry.name("podman")}"\n')
    assert "a registry needs a network" in treesmith("build", str(path), status=2).stderr
    bomb = filled(tmp_path, "/dev/zero", 3 << 29)
    path.write_text(f'[[step]]\noci = {{ image = "oci:{bomb}", size = 1 }}\n')
    assert "unpacks to more than it may" in treesmith("build", str(path), status=1).stderr


def filled(tmp_path: Path, source: str, size: int) -> Path:
    """An image of a file with so many bytes of `source`."""
    layout, layer = tmp_path / "filled", tmp_path / "layer.tar"
    with tarfile.open(layer, "w") as archive, open(source, "rb") as data:
        member = tarfile.TarInfo("large")
        member.size = size
        archive.addfile(member, data)
    sh("umoci", "init", "--layout", str(layout))
    sh("umoci", "new", "--image", f"{layout}:image")
    sh("umoci", "raw", "add-layer", "--image", f"{layout}:image", str(layer))
    layer.unlink()
    return layout


def test_a_full_disk(treesmith: Command, tmp_path: Path) -> None:
    """What was laid down of a layer goes, and so does what skopeo brought of the image."""
    layout = filled(tmp_path, "/dev/urandom", 80 << 20)
    archive = tmp_path / "image.tar"
    sh("skopeo", "copy", "-q", f"oci:{layout}:image", f"docker-archive:{archive}")
    with filesystems.ext4(tmp_path) as disk:
        there = {"TREESMITH_STORE": create_store(str(disk / "store"), "overlay").path}
        treesmith("ls", **there)
        free = os.statvfs(disk).f_bavail
        for image, said in (
            (f"oci:{layout}:image", "large cannot be made in the tree"),
            (f"docker-archive:{archive}", "skopeo failed"),
        ):
            failed = treesmith("build", write(tmp_path, image), status=1, **there)
            assert "o space left on device" in failed.stderr and said in failed.stderr, failed.stderr
            treesmith("prune", **there)
            assert treesmith("ls", **there).stdout.count("\n") == 1
            assert os.statvfs(disk).f_bavail > free - 4096
