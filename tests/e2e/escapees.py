"""The same root, started by treesmith, docker, podman and systemd-nspawn, for whoever tries to get out of it."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ground import cgroup_folder
from launching import Trees
from plain import Plain
from ways_out import Scene

Argv = Callable[[Scene], list[str]]
OURS = ("treesmith", "boot", "rootless", "rootless boot")
NAMES = (*OURS, "docker", "podman", "nspawn")


def name(scene: Scene) -> str:
    """Of its tree."""
    return f"escape-{scene.root.parent.name}".lower().replace("_", "-")[:60]


def treesmith(trees: Trees, boot: bool) -> Argv:
    """boot: the command is an init; it has no folder to write to that it could hand files out by."""

    def argv(scene: Scene) -> list[str]:
        if name(scene) not in trees.store.names():
            trees.add(name(scene), scene.root, sealed=True)
        bind = ":ro" if boot else ""
        return trees.argv("launch", "-q", *options(scene, boot, bind), name(scene), "--", *scene.command)

    return argv


def rootless(me: Plain, boot: bool) -> Argv:
    """treesmith again, run by a plain user, to whom the folders that are bound in do not belong."""
    added: set[str] = set()

    def argv(scene: Scene) -> list[str]:
        if name(scene) not in added:
            added.add(name(scene))
            me.add(name(scene), scene.root, status=None)  # one with devices is refused
        bind = ":noidmap,ro" if boot else ":noidmap"
        return me.argv("launch", "-q", *options(scene, boot, bind), name(scene), "--", *scene.command)

    return argv


def options(scene: Scene, boot: bool, bind: str) -> list[str]:
    found = [f"--bind={one}{bind}" for one in scene.binds]
    if boot:
        return ["--boot", *found]
    return [*found, *(["--tty"] if scene.tty else []), *([f"--chdir={scene.chdir}"] if scene.chdir else [])]


MACHINE = f"treesmith-tests-{os.getpid()}"


def clean() -> None:
    """What systemd-nspawn leaves behind."""
    own = cgroup_folder()
    for folder in (own / "payload", own / "supervisor") if own else ():
        if folder.is_dir():
            folder.rmdir()
    shutil.rmtree(f"/run/systemd/nspawn/propagate/{MACHINE}", ignore_errors=True)


def nspawn(scene: Scene) -> list[str]:
    options = ["-q", "--register=no", "--keep-unit", "--private-network", "-M", MACHINE]
    options += [f"--console={'interactive' if scene.tty else 'pipe'}"]
    options += [f"--chdir={scene.chdir}"] if scene.chdir else []
    binds = (f"--bind={bind}" for bind in scene.binds)
    return ["systemd-nspawn", *options, *binds, "-D", str(scene.root), *scene.command]


def podman(folder: Path) -> Argv:
    """In mounts of its own with pure cgroup2, for it cannot read a hybrid hierarchy; it may make no cgroups here."""
    mounts = 'mount --make-rprivate / && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"'
    storage = ["--root", f"{folder}/data", "--runroot", f"{folder}/run", "--cgroup-manager", "cgroupfs"]
    limits = ["--cgroups=disabled", "--ulimit", "nofile=1024:4096", "--ulimit", "nproc=1000:1000"]

    def argv(scene: Scene) -> list[str]:
        client = ["unshare", "-m", "sh", "-c", mounts, "sh", "podman", *storage, "--runtime", "crun", "run", "--rm"]
        root = ["--rootfs", str(scene.root)]
        return [*client, "--network=none", *limits, *usual(scene), *root, *scene.command]

    return argv


def usual(scene: Scene) -> list[str]:
    """docker's options, and podman's."""
    found = [*(f"-v={bind}" for bind in scene.binds), *(["-t", "-i"] if scene.tty else [])]
    return [*found, *([f"-w={scene.chdir}"] if scene.chdir else [])]


@contextmanager
def docker(folder: Path) -> Iterator[Argv | None]:
    """Of a daemon of our own, in mounts of its own; None where it does not run."""
    socket = f"unix://{folder}/socket"
    options = ["--iptables=false", "--ip6tables=false", "--bridge=none", "-H", socket, "-p", f"{folder}/pid"]
    options += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    with (folder / "log").open("w") as log:
        daemon = subprocess.Popen(["unshare", "-m", "dockerd", *options], stdout=log, stderr=log)
    client = ["docker", "-H", socket]
    images: dict[Path, str] = {}

    def argv(scene: Scene) -> list[str]:
        root = scene.root
        image = images.setdefault(root, f"escape-{len(images)}")
        if image == f"escape-{len(images) - 1}":
            with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
                subprocess.run([*client, "import", "-", image], stdin=tar.stdout, check=True, capture_output=True)
        return [*client, "run", "--rm", "--network=none", *usual(scene), image, *scene.command]

    try:
        for _ in range(300):
            if daemon.poll() is not None:
                break
            if not subprocess.run([*client, "info"], capture_output=True, check=False).returncode:
                break
            time.sleep(0.1)
        yield argv if daemon.poll() is None else None
    finally:
        daemon.terminate()
        daemon.wait()
        for left in Path("/sys/fs/cgroup").glob("**/docker"):
            for below in (*(path for path in left.rglob("*") if path.is_dir()), left):
                try:
                    os.rmdir(below)
                except OSError:
                    pass
        shutil.rmtree(folder / "data", ignore_errors=True)
