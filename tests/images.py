"""One image, made of the same steps by each tool that makes images, and a real registry for them on loopback."""

import contextlib
import fcntl
import hashlib
import itertools
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filesystems
import roots
from offline.debian import CACHE

TOOLS = ("buildah", "docker", "podman", "umoci")
# What each layer above the first changes: made, changed, removed, replaced with other kinds, and made new in place.
LAYERS = (
    "mkdir -p /srv/dir/deep /srv/gone; echo 1 >/srv/dir/one; echo 2 >/srv/dir/deep/two; echo 3 >/srv/gone/three; "
    "echo x >/srv/twice; ln /srv/twice /srv/again; ln -s /etc/passwd /srv/link; ln -s dir /srv/way; mkfifo /srv/pipe; "
    "chmod 4711 /srv/twice; chown 7:8 /srv/pipe; mkdir -m 1770 /srv/sticky; touch -d 2001-01-01 /srv/old",
    "rm -r /srv/gone /srv/dir; mkdir /srv/dir; echo new >/srv/dir/new; rm /srv/link; echo file >/srv/link",
    "rm -r /srv/dir; echo file >/srv/dir; rm /srv/old; mkdir /srv/old; echo 5 >/srv/old/five; echo more >>/srv/twice",
    "mv /srv/old /srv/moved; rm /srv/way; chmod 700 /srv/sticky; mkdir /srv/gone; echo 4 >/srv/gone/four",
)
_CONFIGURATION = """\
ENV PLACE="/srv x"
USER me
WORKDIR /srv
EXPOSE 80
STOPSIGNAL SIGINT
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["echo $PLACE; id -u; pwd"]
"""
_RUN = tempfile.TemporaryDirectory(prefix="run-", dir="/tmp")  # podman takes 50 characters at most
_NUMBERS = itertools.count()
SAYS = "/srv x\n1000\n/srv\n"


class Registry:
    """Debian's docker-registry on a folder. `host` is what stands before an image's name."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{probe.getsockname()[1]}"
        configuration = folder / "registry.yml"
        configuration.write_text(
            f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}}}}}\n"
            f"http: {{addr: '{self.host}'}}\n"
        )
        self.folder = folder
        with open(folder / "log", "w") as log:
            self._process = subprocess.Popen(["docker-registry", "serve", str(configuration)], stdout=log, stderr=log)
        _until(self._answers, "docker-registry")

    def blob(self, digest: str) -> Path:
        """The file that the registry keeps a blob in."""
        value = digest.removeprefix("sha256:")
        return self.folder / "docker/registry/v2/blobs/sha256" / value[:2] / value / "data"

    def name(self, image: str) -> str:
        return f"{self.host}/{image}:1"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _answers(self) -> bool:
        host, _, port = self.host.partition(":")
        with socket.socket() as probe:
            return not probe.connect_ex((host, int(port)))


def stocked() -> Path:
    """A folder for a registry, to be copied, with the image by each of the tools that are here. Kept in /var/tmp: to
    make them takes a minute."""
    here = [tool for tool in TOOLS if shutil.which("dockerd" if tool == "docker" else tool)]
    versions = "".join(sh(tool, "--version") for tool in here)
    key = hashlib.sha256(versions.encode() + Path(__file__).read_bytes()).hexdigest()[:16]
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "images.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        home = CACHE / f"images-{key}"
        if not home.exists():
            making = Path(tempfile.mkdtemp(prefix="making-images-", dir=CACHE))
            try:
                (making / "registry").mkdir()
                with contextlib.closing(Registry(making / "registry")) as registry:
                    for tool in here:
                        _make(tool, making / tool, registry)
                (making / "registry").rename(home)
            finally:
                shutil.rmtree(making)
    return home


def _make(tool: str, folder: Path, registry: Registry) -> None:
    """The image `tool` makes of the LAYERS, pushed to the registry."""
    context = folder / "context"
    context.mkdir(parents=True)
    root = roots.busybox(folder / "base")
    (root / "srv").mkdir()
    with tarfile.open(context / "base.tar", "w") as archive:
        archive.add(root, ".")
    runs = "".join(f"RUN {layer}\n" for layer in LAYERS)
    (context / "Dockerfile").write_text(f"FROM scratch\nADD base.tar /\n{runs}{_CONFIGURATION}")
    name = registry.name(tool)
    {"buildah": _buildah, "docker": _docker, "podman": _podman, "umoci": _umoci}[tool](folder, name)


def unpacked(name: str, folder: Path) -> Path:
    """What umoci makes of an image of the registry."""
    folder.mkdir()
    sh("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"oci:{folder}/layout:image")
    sh("umoci", "raw", "unpack", "--image", f"{folder}/layout:image", f"{folder}/root")
    return folder / "root"


@contextlib.contextmanager
def mounted(name: str, folder: Path) -> Iterator[Path]:
    """What podman makes of an image of the registry."""
    folder.mkdir()
    podman = storage("podman", folder)
    sh(*podman, "pull", "-q", "--tls-verify=false", name)
    try:
        yield Path(sh(*podman, "image", "mount", name).strip())
    finally:
        sh(*podman, "image", "unmount", name)


def storage(tool: str, folder: Path) -> list[str]:
    """The start of a command line of podman or buildah with storage of its own: plain folders, nothing is mounted."""
    run = f"{_RUN.name}/{next(_NUMBERS)}"
    return [tool, "--root", f"{folder}/storage", "--runroot", run, "--storage-driver", "vfs"]


def sh(*argv: str, check: bool = True, cwd: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=cwd,
        env={**os.environ, **environment},
    )  # fmt: skip
    if check and done.returncode:
        raise AssertionError(f"{' '.join(argv)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def _podman(folder: Path, name: str) -> None:
    podman = storage("podman", folder)
    sh(*podman, "build", "-q", "--isolation=chroot", "--network=host", "--layers", "-t", name, f"{folder}/context")
    sh(*podman, "push", "-q", "--tls-verify=false", name)


def _buildah(folder: Path, name: str) -> None:
    """Step by step, as scripts do, and with zstd."""
    buildah = storage("buildah", folder)
    above = "scratch"
    for number, layer in enumerate(("", *LAYERS)):
        container = sh(*buildah, "from", above).strip()
        if number:
            sh(*buildah, "run", "--isolation=chroot", container, "--", "/bin/sh", "-c", layer)
        else:
            sh(*buildah, "add", "-q", container, f"{folder}/context/base.tar", "/")
        if number == len(LAYERS):
            sh(
                *buildah, "config", "--env", "PLACE=/srv x", "--user", "me", "--workingdir", "/srv", "--port", "80",
                "--stop-signal", "SIGINT", "--entrypoint", '["/bin/sh", "-c"]', "--cmd", "'echo $PLACE; id -u; pwd'",
                container,
            )  # fmt: skip
        above = f"localhost/step{number}"
        sh(*buildah, "commit", "-q", "--rm", container, above)
    sh(*buildah, "push", "-q", "--tls-verify=false", "--compression-format=zstd", above, f"docker://{name}")


def _umoci(folder: Path, name: str) -> None:
    layout = f"{folder}/layout"
    sh("umoci", "init", "--layout", layout)
    sh("umoci", "new", "--image", f"{layout}:image")
    sh("umoci", "unpack", "--image", f"{layout}:image", f"{folder}/bundle")
    rootfs = folder / "bundle/rootfs"
    sh("tar", "-xf", f"{folder}/context/base.tar", "-C", str(rootfs))
    sh("umoci", "repack", "--refresh-bundle", "--image", f"{layout}:image", f"{folder}/bundle")
    for layer in LAYERS:
        sh("chroot", str(rootfs), "/bin/sh", "-c", layer)
        sh("umoci", "repack", "--refresh-bundle", "--image", f"{layout}:image", f"{folder}/bundle")
    sh(
        "umoci", "config", "--image", f"{layout}:image", "--config.env", "PLACE=/srv x", "--config.user", "me",
        "--config.workingdir", "/srv", "--config.exposedports", "80", "--config.stopsignal", "SIGINT",
        "--config.entrypoint", "/bin/sh", "--config.entrypoint", "-c", "--config.cmd", "echo $PLACE; id -u; pwd",
    )  # fmt: skip
    sh("skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:image", f"docker://{name}")


def _docker(folder: Path, name: str) -> None:
    with daemon(folder) as docker:
        sh(*docker, "build", "-q", "--network=none", "-t", name, f"{folder}/context", DOCKER_BUILDKIT="0")
        sh(*docker, "push", "-q", name)


@contextlib.contextmanager
def daemon(folder: Path) -> Iterator[list[str]]:
    """The start of a docker command line for a daemon of our own."""
    address = f"unix://{folder}/docker.sock"
    with open(folder / "dockerd.log", "w") as log:
        process = subprocess.Popen(
            [
                "dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--data-root", f"{folder}/data",
                "--exec-root", f"{folder}/exec", "-H", address, "-p", f"{folder}/pid",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    docker = ["docker", "-H", address]
    try:
        _until(lambda: not subprocess.run([*docker, "info"], capture_output=True, check=False).returncode, "dockerd")
        yield docker
    finally:
        process.terminate()
        process.wait()
        filesystems.let_go(folder)


def _until(ready: Callable[[], bool], what: str) -> None:
    for _ in range(600):
        if ready():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what} does not come up")
