"""The tools that treesmith is timed against, each set up in a folder of its own and with the same tree inside."""

import contextlib
import ctypes
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

IMAGE = "treesmith-bench"
# Neither may raise its limits or make cgroups of its own where the machine does not let it.
PODMAN_RUN = "--network none --cgroups=disabled --ulimit nofile=1024:4096 --ulimit nproc=1000:1000"


def sh(command: str) -> None:
    subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)


def private_mounts() -> None:
    """Our own mount namespace, with pure cgroup2 in it: podman 4 cannot read a hybrid hierarchy."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x20000):
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNS)")
    sh("mount --make-rprivate / && mount -t cgroup2 cgroup2 /sys/fs/cgroup")


@contextlib.contextmanager
def docker(folder: Path, archive: Path) -> Iterator[str]:
    """The start of a docker command line that has IMAGE, from a daemon of our own; "" where not installed."""
    if not shutil.which("dockerd"):
        print("docker: not installed, left out")
        yield ""
        return
    socket = folder / "docker.sock"
    options = f"--iptables=false --ip6tables=false --bridge=none --data-root {folder}/data --exec-root {folder}/exec"
    with (folder / "log").open("w") as log:
        daemon = subprocess.Popen(
            ["dockerd", *options.split(), "-H", f"unix://{socket}", "-p", f"{folder}/pid"], stdout=log, stderr=log
        )
    client = f"docker -H unix://{socket}"
    try:
        for _ in range(300):
            if not subprocess.run([*client.split(), "info"], capture_output=True, check=False).returncode:
                break
            time.sleep(0.1)
        sh(f"{client} import {archive} {IMAGE}")
        yield client
    finally:
        daemon.terminate()
        daemon.wait()


def podman(folder: Path, archive: Path) -> tuple[str, str]:
    """The same for podman and buildah, on storage of their own."""
    if not shutil.which("podman") or not shutil.which("buildah"):
        print("podman, buildah: not installed, left out")
        return "", ""
    storage = f"--root {folder}/data --runroot {folder}/run"
    sh(f"podman {storage} --cgroup-manager cgroupfs import -q {archive} {IMAGE}")
    return f"podman {storage} --cgroup-manager cgroupfs --runtime crun", f"buildah {storage}"


def oci(folder: Path, tree: Path) -> dict[str, str]:
    """crun and runc themselves, without what calls them: `true` in a bundle that each has made by itself. crun makes no
    cgroup; runc insists on one."""
    found = {}
    for runtime, options in (("crun", "--cgroup-manager=disabled"), ("runc", "")):
        if not shutil.which(runtime):
            print(f"{runtime}: not installed, left out")
            continue
        bundle = folder / runtime
        bundle.mkdir(exist_ok=True)
        config = bundle / "config.json"
        if not config.exists():
            subprocess.run([runtime, "spec"], cwd=bundle, check=True)
            told = json.loads(config.read_text())
            told["process"] |= {"terminal": False, "args": ["true"]}
            told["root"] = {"path": str(tree), "readonly": False}
            config.write_text(json.dumps(told))
        found[f"{runtime} run"] = f"{runtime} --root {bundle}/state {options} run --bundle {bundle} bench"
    return found
