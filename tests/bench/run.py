"""treesmith beside its rivals: medians and ratios from one run. Run by ci/bench; `run.py GROUP…` runs only those.

Everything is done on one tree (debian-base), on the filesystem of --folder, without a network. hyperfine times whole
commands, interpreter start included. Ratios are treesmith's median over the rival's: under 1 is faster.
"""

import argparse
import os
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import containers
import crowd
import filesystems
import native
import rivals
from rivals import IMAGE, PODMAN_RUN, sh
from timing import table, times

from treesmith.steps.debian import Source, host_mirror, later, line


class Bench:
    """What every group needs: where things are, and how each tool is called."""

    def __init__(self, folder: Path, docker: str, podman: str, buildah: str) -> None:
        self.folder, self.docker, self.podman, self.buildah = folder, docker, podman, buildah
        self.tree = folder / "tree"

    def builders(self, context: str) -> dict[str, str]:
        """The rivals that build from a Dockerfile, and how."""
        return {
            "docker build": f"{self.docker} build -q --network none {context}" if self.docker else "",
            "buildah bud --layers": f"{self.buildah} bud -q --isolation chroot --layers --pull-never {context}"
            if self.buildah
            else "",
        }


def launch(bench: Bench) -> None:
    tree = bench.tree
    runtimes = rivals.oci(bench.folder, tree)
    table(
        "launch: true",
        times({
            "treesmith launch --ephemeral": ("", "treesmith launch --ephemeral bench -- true"),
            "treesmith launch, writable tree": ("", "treesmith launch bench -- true"),
            "docker run --rm": ("", f"{bench.docker} run --rm --network none {IMAGE} true" if bench.docker else ""),
            "podman run --rm": ("", f"{bench.podman} run --rm {PODMAN_RUN} {IMAGE} true" if bench.podman else ""),
            "systemd-nspawn": ("", f"systemd-nspawn -q --register=no --keep-unit -D {tree} true"),
            **{label: ("", line) for label, line in runtimes.items()},
            "bwrap --unshare-all": ("", f"bwrap --unshare-all --bind {tree} / --proc /proc --dev /dev true"),
            "python -c pass": ("", f"{sys.executable} -c pass"),
        }),
    )  # fmt: skip
    with native.ground(bench.folder, "btrfs") as place:  # where nspawn can throw away what it did not copy file by file
        store, base = native.planted(place, tree, "btrfs")
        source = native.subvolume(place, tree)
        ours = f"treesmith --store {store.path} launch -q --ephemeral {base.name} -- true"
        theirs = f"systemd-nspawn -q --register=no --keep-unit -x -D {source} true"
        table(
            "launch: true, on a throw-away copy, btrfs",
            times({"treesmith launch --ephemeral": ("", ours), "systemd-nspawn -x": ("", theirs)}),
        )


def crowded(bench: Bench) -> None:
    containers.together(bench.docker, bench.podman, bench.tree)


def snapshot(bench: Bench) -> None:
    copy = f"{bench.folder}/cp"
    table(
        "snapshot",
        times({
            "treesmith snapshot": ("sh -c 'treesmith rm -q s 2>/dev/null || true'", "treesmith snapshot debian-base s"),
            "docker create": ("", f"{bench.docker} create {IMAGE} true" if bench.docker else ""),
            "podman create": ("", f"{bench.podman} create {PODMAN_RUN} {IMAGE} true" if bench.podman else ""),
            "buildah from": ("", f"{bench.buildah} from --pull-never {IMAGE}" if bench.buildah else ""),
            "cp -a": (f"rm -rf {copy}", f"cp -a {bench.tree} {copy}"),
            "python -c pass": ("", f"{sys.executable} -c pass"),
        }),
    )  # fmt: skip


def files(bench: Bench, steps: int) -> tuple[str, str]:
    """A recipe and a Dockerfile of `steps` trivial steps on the same tree; paths."""
    recipe, context = bench.folder / f"steps{steps}.toml", bench.folder / f"context{steps}"
    body = "".join(f'[[step]]\nrun = "echo {n} > /step{n}"\n' for n in range(steps))
    recipe.write_text(f'from = "debian-base"\n{body}')
    context.mkdir(exist_ok=True)
    lines = "".join(f"RUN echo {n} > /step{n}\n" for n in range(steps))
    (context / "Dockerfile").write_text(f"FROM {IMAGE}\n{lines}")
    return str(recipe), str(context)


def cached(bench: Bench) -> None:
    recipe, context = files(bench, 5)
    commands = {"treesmith build": f"treesmith build {recipe}", **bench.builders(context)}
    table("build of five trivial steps, all cached", times({label: ("", line) for label, line in commands.items()}))


def step(bench: Bench) -> None:
    """Before each timed build, what was built is followed by steps that were never run: each runs exactly these."""
    recipe, context = files(bench, 1)
    paths = recipe, f"{context}/Dockerfile"
    for path in paths:
        shutil.copy(path, f"{path}.begun")
    for count, what in ((1, "build of one more trivial step"), (5, "build of five more trivial steps")):
        lines = [f"for n in $(seq -f $(date +%N)-%g {count}); do"]
        lines += ["printf '[[step]]\\nrun = \"echo %s > /more\"\\n' $n; echo RUN echo $n \\> /more >&3", "done"]
        begun = [f"cp {path}.begun {path}" for path in paths]
        follow = bench.folder / f"follow{count}"
        follow.write_text("\n".join(["#!/bin/sh", *begun, f"exec >>{paths[0]} 3>>{paths[1]}", *lines, ""]))
        follow.chmod(0o755)
        commands = {"treesmith build": f"treesmith build {recipe}", **bench.builders(context)}
        table(what, times({label: (str(follow), line) for label, line in commands.items()}, runs=10))


def debian(bench: Bench) -> None:
    """Packages are in each tool's cache; lists are asked for each time. debootstrap knows of the release alone."""
    suite = "bookworm"
    origins = [Source(mirror := host_mirror(suite, os.uname().machine), (suite,)), *later(mirror, suite)]
    made, cache = bench.folder / "made", bench.folder / "archives"
    cache.mkdir()
    (bench.folder / "debs").mkdir()
    archives = '"$1/var/cache/apt/archives"'
    mmdebstrap = [
        "mmdebstrap", "--quiet", "--mode=root", "--format=directory", "--variant=minbase",
        "--include=apt,ca-certificates", "--skip=essential/unlink",
        f"--setup-hook=mkdir -p {archives} && mount --bind {cache} {archives}",
        f"--customize-hook=umount {archives}", suite, str(made), *(line(source, ("main",)) for source in origins),
    ]  # fmt: skip
    debootstrap = f"debootstrap --cache-dir={bench.folder}/debs --variant=minbase --include=ca-certificates"
    ours = f"treesmith --store {bench.folder}/debian"
    sh(f"{ours} init")
    table(
        "build of debian-base",
        times({
            "treesmith build": (
                f"{ours} prune -q --step-age 0", f"{ours} build -q --refresh debian-base"
            ),
            "mmdebstrap": (f"rm -rf {made}", shlex.join(mmdebstrap)),
            "debootstrap": (f"rm -rf {made}", f"{debootstrap} {suite} {made} {mirror}"),
        }, runs=5, warm=0),
    )  # fmt: skip


def imported(bench: Bench) -> None:
    """An image of five layers, which each tool is to make a tree of that can be entered."""
    if not bench.buildah:
        return
    context, image, folder = bench.folder / "layers", bench.folder / "image", bench.folder
    context.mkdir()
    parts = ("doc", "perl5", "keyrings", "zoneinfo")
    layers = "".join(f"RUN cp -a /usr/share/{part} /layer-{part}\n" for part in parts)
    (context / "Dockerfile").write_text(f"FROM {IMAGE}\n{layers}")
    sh(f"{bench.buildah} bud -q --isolation chroot --layers --pull-never -t five {context}")
    sh(f"{bench.buildah} push -q five oci:{image}:five")
    recipe = folder / "five.toml"
    recipe.write_text(f'[[step]]\noci = "oci:{image}:five"\n')
    # Each run in a folder of its own: ext4 is slow to use again what was removed a moment ago.
    new = f"new=$(mktemp -d {folder}/new-XXXXXX)"
    podman = "podman --root $new/data --runroot $new/run"
    commands = {
        "treesmith build": f"treesmith --store $new build -q {recipe}",
        "podman pull, podman image mount": f"{podman} image mount $({podman} pull -q oci:{image}:five)",
        "skopeo copy, umoci unpack": (
            f"skopeo copy -q oci:{image}:five oci:$new/image:five && umoci unpack --image $new/image:five $new/made"
        ),
    }
    timed = {label: ("", shlex.join(["sh", "-ec", f"{new}\n{command}"])) for label, command in commands.items()}
    table("import of five layers", times(timed, runs=10))


def boot(bench: Bench) -> None:
    """From the start to the READY=1 of systemd inside, which both hand on to whoever started them; then to the end."""
    tree = bench.folder / "booted"
    sh("treesmith build -q debian-init")
    mounted = subprocess.check_output(["treesmith", "mount", "debian-init"], text=True).strip()
    sh(f"cp -a {mounted}/. {tree} && treesmith umount debian-init")
    nspawn = f"systemd-nspawn -q -b -U --register=no --keep-unit --notify-ready=yes --console=read-only -D {tree}"
    commands = {"treesmith launch --boot": "treesmith launch -q --boot debian-init", "systemd-nspawn -b -U": nspawn}
    runs = {label: [booted(bench.folder, command) for _ in range(11)][1:] for label, command in commands.items()}
    for at, what in enumerate(("boot, to ready", "stop, from SIGTERM to the end")):
        table(what, {label: statistics.median(run[at] for run in found) for label, found in runs.items()})


def booted(folder: Path, command: str) -> tuple[float, float]:
    """Milliseconds to ready, and to the end."""
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(path))
        heard.settimeout(60)
        begin = time.monotonic()
        environment = {**os.environ, "NOTIFY_SOCKET": str(path)}
        with subprocess.Popen(
            command.split(), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as run:
            while b"READY=1" not in heard.recv(4096).split(b"\n"):
                pass
            ready = time.monotonic()
            run.terminate()
            run.wait(60)
    path.unlink()
    return (ready - begin) * 1000, (time.monotonic() - ready) * 1000


def scale(bench: Bench) -> None:
    """Of 10,000 trees beside 10: last column, the ratio. `ls` may grow with them, nothing else."""
    few, many = crowd.stores(bench.folder).values()
    verbs = {
        "snapshot": ("rm -q s", "snapshot debian-base s"),
        "launch a sealed tree": ("", "launch -q debian-base -- true"),
        "launch a writable tree": ("", "launch -q n1 -- true"),
        "show": ("", "show n1"),
        "ls": ("", "ls"),
    }
    print(f"\n{crowd.MANY} trees, and {crowd.FEW}")
    for label, (before, verb) in verbs.items():
        first = "sh -c 'treesmith --store {} " + before + " 2>/dev/null || true'" if before else ""
        medians = times({
            store: (first.format(store), f"treesmith --store {store} {verb}") for store in (many, few)
        })  # fmt: skip
        print(f"  {label:<44}{medians[many]:>10.1f} ms{medians[few]:>10.1f} ms{medians[many] / medians[few]:>10.2f}")


def beside(bench: Bench) -> None:
    for backend in ("overlay", "copy", "btrfs"):
        native.beside(bench.folder, bench.tree, backend)


GROUPS = {
    "scale": scale, "native": beside, "launch": launch, "snapshot": snapshot, "cached": cached, "step": step,
    "boot": boot, "debian": debian, "import": imported, "crowd": crowded,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="default: all")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="where everything is put")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="treesmith-bench-", dir=options.folder) as name:
        folder = Path(name)
        os.environ["TREESMITH_STORE"] = str(folder / "store")
        sh("treesmith build -q debian-base && treesmith snapshot debian-base bench")
        for part in ("mnt", "tree", "docker", "podman"):
            (folder / part).mkdir()
        sh(f"treesmith mount debian-base {folder}/mnt")
        sh(f"cp -a {folder}/mnt/. {folder}/tree && tar -C {folder}/mnt -cf {folder}/tree.tar .")
        sh("treesmith umount debian-base")
        archive = folder / "tree.tar"
        try:
            with rivals.docker(folder / "docker", archive) as docker:
                rivals.private_mounts()
                podman, buildah = rivals.podman(folder / "podman", archive)
                bench = Bench(folder, docker, podman, buildah)
                print(f"{os.uname().release}, {os.cpu_count()} CPUs; medians; last column: treesmith / this")
                for group in options.groups or GROUPS:
                    GROUPS[group](bench)
        finally:
            filesystems.let_go(folder)  # our namespace keeps its copies of what they bind


if __name__ == "__main__":
    main()
