"""The same root, started by treesmith, docker and systemd-nspawn, for whoever tries to get out of it."""

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

Argv = Callable[[Path, list[str], list[str], bool], list[str]]  # root, options as treesmith's --bind, command, tty
NAMES = ("treesmith", "rootless", "docker", "nspawn")


def treesmith(trees: Trees) -> Argv:
    def argv(root: Path, binds: list[str], command: list[str], tty: bool) -> list[str]:
        name = f"escape-{root.parent.name}".lower().replace("_", "-")[:60]
        if name not in [tree.name for tree in trees.store.trees()]:
            trees.add(name, root, sealed=True)
        options = [*(f"--bind={bind}" for bind in binds), *(["--tty"] if tty else [])]
        return trees.argv("launch", "-q", *options, name, "--", *command)

    return argv


def rootless(me: Plain) -> Argv:
    """treesmith again, run by a plain user, to whom the folders that are bound in do not belong."""
    added: set[str] = set()

    def argv(root: Path, binds: list[str], command: list[str], tty: bool) -> list[str]:
        name = f"escape-{root.parent.name}".lower().replace("_", "-")[:60]
        if name not in added:
            added.add(name)
            me.add(name, root, status=None)  # one with devices is refused
        options = [*(f"--bind={bind}:noidmap" for bind in binds), *(["--tty"] if tty else [])]
        return me.argv("launch", "-q", *options, name, "--", *command)

    return argv


MACHINE = f"treesmith-tests-{os.getpid()}"


def clean() -> None:
    """What systemd-nspawn leaves behind."""
    own = cgroup_folder()
    for folder in (own / "payload", own / "supervisor") if own else ():
        if folder.is_dir():
            folder.rmdir()
    shutil.rmtree(f"/run/systemd/nspawn/propagate/{MACHINE}", ignore_errors=True)


def nspawn(root: Path, binds: list[str], command: list[str], tty: bool) -> list[str]:
    options = ["-q", "--register=no", "--keep-unit", "--private-network", "-M", MACHINE]
    options += [f"--console={'interactive' if tty else 'pipe'}"]
    return ["systemd-nspawn", *options, *(f"--bind={bind}" for bind in binds), "-D", str(root), *command]


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

    def argv(root: Path, binds: list[str], command: list[str], tty: bool) -> list[str]:
        image = images.setdefault(root, f"escape-{len(images)}")
        if image == f"escape-{len(images) - 1}":
            with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
                subprocess.run([*client, "import", "-", image], stdin=tar.stdout, check=True, capture_output=True)
        more = [*(f"-v={bind}" for bind in binds), *(["-t", "-i"] if tty else [])]
        return [*client, "run", "--rm", "--network=none", *more, image, *command]

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
