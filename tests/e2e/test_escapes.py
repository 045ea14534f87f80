"""The known ways out of containers, each tried in a container of treesmith, with root and without, of docker and of
systemd-nspawn: what they did to the host. Of treesmith's nothing may; the others are looked at, and printed beside.

"held": the host is untouched. "OUT": it is not. A root that is refused holds, too.
"""

import errno
import fcntl
import os
import shutil
import stat
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import escapees
import pytest
import roots
from launching import PATIENCE, Trees
from plain import Plain

HELD, OUT = "held", "OUT"
SECRET = "a token that stands nowhere else\n"
PATTERN = Path("/proc/sys/kernel/core_pattern")
table: dict[str, dict[str, str]] = {}


class Scene:
    """A root to be filled, beside what it may not reach: a folder with a secret, and one that is bound in."""

    def __init__(self, folder: Path, probe: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.root = roots.busybox(folder / "root")
        shutil.copy(probe, self.root / "escape")
        (self.root / "usr").mkdir()
        (self.root / "etc/os-release").write_text("ID=busybox\n")  # systemd-nspawn asks for both
        self.decoy, self.shared = folder / "decoy", folder / "shared"
        self.decoy.mkdir()
        self.shared.mkdir()
        self.shared.chmod(0o777)  # also for root of a user's containers, whose folder it is not
        (self.decoy / "secret").write_text(SECRET)
        self.binds: list[str] = []
        self.command = ["true"]
        self.leak = False
        self.watched = False
        self.tty = False
        self.typed = 0
        self.said = ""

    def run(self, argv: list[str], environment: dict[str, str]) -> str:
        before = self.decoy_state()
        pattern = PATTERN.read_text()
        leaked = os.open(self.decoy, os.O_RDONLY | os.O_DIRECTORY)
        master, slave = os.openpty()
        stdin = slave if self.tty else subprocess.DEVNULL
        try:
            with subprocess.Popen(
                argv, env=environment, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                pass_fds=[leaked] if self.leak else [], start_new_session=True,
            ) as process:  # fmt: skip
                is_root = self.watched and self._is_root(process)
                said, _ = process.communicate(timeout=PATIENCE * 2)
            waiting = bytearray(4)
            fcntl.ioctl(slave, termios.FIONREAD, waiting)
            self.typed = struct.unpack("i", waiting)[0]
        finally:
            for fd in (leaked, master, slave):
                os.close(fd)
            changed = PATTERN.read_text() != pattern
            if changed:
                PATTERN.write_text(pattern)
        setuid = [path for path in self.shared.iterdir() if path.stat().st_mode & stat.S_ISUID]
        for path in self.shared.iterdir():
            path.unlink()
        self.said = said.decode(errors="replace")
        got = (
            SECRET.strip() in self.said
            or OUT in self.said
            or changed
            or setuid
            or is_root
            or self.typed
            or self.decoy_state() != before
        )
        return OUT if got else HELD

    def _is_root(self, process: "subprocess.Popen[bytes]") -> bool:
        """Whether the command, as the host sees it, is the host's root."""
        while process.poll() is None:
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    if (folder / "cmdline").read_bytes().split(b"\0")[:-1] == list(map(os.fsencode, self.command)):
                        return "Uid:\t0\t" in (folder / "status").read_text()
                except OSError:
                    continue
            time.sleep(0.01)
        return False

    def decoy_state(self) -> list[tuple[str, int, int]]:
        return [
            (path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in (self.decoy, *self.decoy.iterdir())
        ]


def executables(scene: Scene) -> None:
    scene.command = ["/escape", "executables"]


def interpreter(scene: Scene) -> None:
    (scene.root / "evil").write_text("#!/proc/self/exe --version\n")
    (scene.root / "evil").chmod(0o755)
    scene.command = ["/evil"]


def descriptors(scene: Scene) -> None:
    scene.leak = True
    scene.command = ["/escape", "descriptors"]


def null(scene: Scene) -> None:
    (scene.root / "dev").mkdir()
    (scene.root / "dev/null").symlink_to(PATTERN)
    script = f"echo bad > /dev/null; echo bad > {PATTERN}; echo bad > /proc/sysrq-trigger"
    scene.command = ["sh", "-c", script]


def console(scene: Scene) -> None:
    (scene.root / "dev/pts").mkdir(parents=True)
    for name in ("console", "ptmx", "pts/0", "pts/ptmx"):
        (scene.root / "dev" / name).symlink_to(scene.decoy / "secret")
    scene.tty = True
    scene.command = ["sh", "-c", "for f in console ptmx pts/0; do test -f /dev/$f && cat /dev/$f; done"]


def proc(scene: Scene) -> None:
    (scene.root / "proc").symlink_to(scene.decoy)
    scene.command = ["cat", "/proc/secret"]


def etc(scene: Scene) -> None:
    shutil.rmtree(scene.root / "etc")
    (scene.root / "etc").symlink_to(scene.decoy)
    scene.command = ["cat", "/etc/secret"]


def bound(scene: Scene) -> None:
    (scene.root / "data").symlink_to(scene.decoy)
    scene.binds = [f"{scene.shared}:/data/below"]
    scene.command = ["cat", "/data/secret"]


def typing(scene: Scene) -> None:
    scene.tty = True
    scene.command = ["/escape", "type"]


def setuid(scene: Scene) -> None:
    scene.binds = [f"{scene.shared}:/shared"]
    scene.command = ["/escape", "setuid"]


def disk(scene: Scene) -> None:
    numbers = os.stat(scene.decoy).st_dev
    made = f"mknod /disk b {os.major(numbers)} {os.minor(numbers)}"
    scene.command = ["sh", "-c", f"{made}; head -c 1 /disk >/dev/null 2>&1 && echo {OUT}; true"]


def node(scene: Scene) -> None:
    os.mknod(scene.root / "kmsg", stat.S_IFCHR | 0o666, os.makedev(1, 11))
    scene.command = ["sh", "-c", f"mount -o remount,dev /; (: < /kmsg) && echo {OUT}; true"]


def namespaces(scene: Scene) -> None:
    scene.command = ["sh", "-c", f"unshare -U true && echo {OUT}; true"]


def identity(scene: Scene) -> None:
    scene.watched = True
    scene.command = ["sleep", "0.5001"]


PROBES: dict[str, Callable[[Scene], None]] = {
    "CVE-2019-5736: write to running programs": executables,
    "CVE-2019-5736: #!/proc/self/exe": interpreter,
    "CVE-2024-21626: a descriptor of the caller's": descriptors,
    "CVE-2025-31133: /dev/null leads to /proc/sys": null,
    "CVE-2025-52565: console and ptys lead out": console,
    "CVE-2025-52881, 2019-19921: /proc leads out": proc,
    "/etc leads out": etc,
    "a bind's target leads out": bound,
    "TIOCSTI into the caller's terminal": typing,
    "a setuid file in a folder bound in": setuid,
    "a node of the host's disk, made inside": disk,
    "a node that the root brings": node,
    "a user namespace of its own": namespaces,
    "root inside is the host's root": identity,
}


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("escape") / "escape"
    subprocess.run(["gcc", "-static", "-O", "-o", program, Path(__file__).parent / "escape.c"], check=True)
    return program


@pytest.fixture
def folder(me: Plain, request: pytest.FixtureRequest) -> Path:
    """For a scene: one that a plain user can enter."""
    path = me.folder / f"scene-{abs(hash(request.node.name))}"
    path.mkdir()
    return path


@pytest.fixture(scope="module")
def launchers(
    trees: Trees, plain_user: Plain, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, escapees.Argv]]:
    found = {"treesmith": escapees.treesmith(trees), "rootless": escapees.rootless(plain_user)}
    if shutil.which("systemd-nspawn"):
        found["nspawn"] = escapees.nspawn
    if not shutil.which("dockerd"):
        yield found
        return
    with escapees.docker(tmp_path_factory.mktemp("docker")) as docker:
        if docker:
            found["docker"] = docker
        yield found


@pytest.fixture(scope="module", autouse=True)
def _printed() -> Iterator[None]:
    yield
    rows = [("", *escapees.NAMES), *((name, *map(row.__getitem__, escapees.NAMES)) for name, row in table.items())]
    width = max(len(row[0]) for row in rows)
    print("\n" + "\n".join(f"{row[0]:{width}}  " + "  ".join(f"{cell:10}" for cell in row[1:]) for row in rows))


@pytest.mark.parametrize("name", PROBES)
def test_escape(trees: Trees, launchers: dict[str, escapees.Argv], probe: Path, folder: Path, name: str) -> None:
    scene = Scene(folder, probe)
    PROBES[name](scene)
    row = table.setdefault(name, dict.fromkeys(escapees.NAMES, "not here"))
    for launcher, argv in launchers.items():
        try:
            row[launcher] = scene.run(argv(scene.root, scene.binds, scene.command, scene.tty), trees.environment)
        except OSError as error:
            row[launcher] = errno.errorcode[error.errno or 0]
        escapees.clean()
    assert (row["treesmith"], row["rootless"]) == (HELD, HELD)


def test_what_is_harmless_works(trees: Trees, launchers: dict[str, escapees.Argv], probe: Path, folder: Path) -> None:
    """In each of them: who refuses everything holds everything."""
    for launcher, argv in launchers.items():
        for tty in (False, True):
            scene = Scene(folder / f"{launcher}{tty}", probe)
            scene.tty = tty
            command = ["sh", "-c", "echo works; test -d /shared && echo bound"]
            assert scene.run(argv(scene.root, [f"{scene.shared}:/shared"], command, tty), trees.environment) == HELD
            escapees.clean()
            assert scene.said.split()[:2] == ["works", "bound"], (launcher, scene.said)


def test_an_escape_would_be_seen(trees: Trees, probe: Path, tmp_path: Path) -> None:
    """The judge is no fool: the same probes, on the host itself."""
    for name in ("CVE-2024-21626: a descriptor of the caller's", "root inside is the host's root"):
        folder = tmp_path / name[:6].replace(" ", "")
        folder.mkdir()
        scene = Scene(folder, probe)
        PROBES[name](scene)
        command = [str(probe), *scene.command[1:]] if scene.command[0] == "/escape" else scene.command
        assert scene.run(command, trees.environment) == OUT
