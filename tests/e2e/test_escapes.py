"""The known ways out of containers, each tried in a container of treesmith, with root and without, by a command and by
an init, and of docker, podman and systemd-nspawn: what they did to the host. Of treesmith's nothing may; the others are
looked at, and printed beside.

"held": the host is untouched. "OUT": it is not. A root that is refused holds, too.
"""

import errno
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import escapees
import pytest
from launching import Trees
from plain import Plain
from ways_out import HELD, NESTED, OUT, WAYS, Scene

table: dict[str, dict[str, str]] = {}


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("escape") / "escape"
    source = Path(__file__).parent / "escape.c"
    subprocess.run(["gcc", "-static", "-O", "-Wall", "-Werror", "-o", program, source], check=True)
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
    found = {
        "treesmith": escapees.treesmith(trees, boot=False),
        "boot": escapees.treesmith(trees, boot=True),
        "rootless": escapees.rootless(plain_user, boot=False),
        "rootless boot": escapees.rootless(plain_user, boot=True),
    }
    if shutil.which("systemd-nspawn"):
        found["nspawn"] = escapees.nspawn
    if shutil.which("podman"):
        found["podman"] = escapees.podman(tmp_path_factory.mktemp("podman"))
    if not shutil.which("dockerd"):
        yield found
        return
    with escapees.docker(tmp_path_factory.mktemp("docker")) as docker:
        if docker:
            found["docker"] = docker
        yield found


@pytest.fixture(scope="module", autouse=True)
def _printed(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    rows = [("", *escapees.NAMES), *((name, *map(row.__getitem__, escapees.NAMES)) for name, row in table.items())]
    width = max(len(row[0]) for row in rows)
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("\n" + "\n".join(f"{row[0]:{width}}  " + "  ".join(f"{cell:13}" for cell in row[1:]) for row in rows))


@pytest.mark.parametrize("name", WAYS)
def test_escape(trees: Trees, launchers: dict[str, escapees.Argv], probe: Path, folder: Path, name: str) -> None:
    scene = Scene(folder, probe)
    WAYS[name](scene)
    row = table.setdefault(name, dict.fromkeys(escapees.NAMES, "not here"))
    for launcher, argv in launchers.items():
        try:
            row[launcher] = scene.run(argv, trees.environment)
        except OSError as error:
            row[launcher] = errno.errorcode[error.errno or 0]
        escapees.clean()
    scene.close()
    if name == NESTED:  # an init may; what it has in there is less than what it has
        for launcher in ("boot", "rootless boot"):
            assert row.pop(launcher) == OUT
            row[launcher] = "allowed"
    assert not [launcher for launcher in escapees.OURS if row[launcher] not in (HELD, "allowed")], scene.said


def test_what_is_harmless_works(trees: Trees, launchers: dict[str, escapees.Argv], probe: Path, folder: Path) -> None:
    """In each of them: who refuses everything holds everything."""
    for launcher, argv in launchers.items():
        for tty in (False, True):
            scene = Scene(folder / f"{launcher.replace(' ', '-')}{tty}", probe)
            scene.tty = tty
            scene.command = ["sh", "-c", "echo works; test -d /shared && echo bound"]
            scene.binds = [f"{scene.shared}:/shared"]
            assert scene.run(argv, trees.environment) == HELD
            escapees.clean()
            assert scene.said.split()[:2] == ["works", "bound"], (launcher, scene.said)


@pytest.mark.parametrize(
    "name",
    [
        "CVE-2024-21626: a descriptor of the caller's", "root inside is the host's root",
        "open_by_handle_at (shocker)", "a process of the host: ptrace, kill, its root", "a key of the caller's session",
        "userfaultfd, bpf, perf_event_open", "an abstract socket of the host", "the kernel's log",
    ],
)  # fmt: skip
def test_an_escape_would_be_seen(trees: Trees, probe: Path, tmp_path: Path, name: str) -> None:
    """The judge is no fool: the same ways, on the host itself."""
    scene = Scene(tmp_path / "scene", probe)
    WAYS[name](scene)
    scene.command = [word.replace("/escape", str(probe)) for word in scene.command]
    assert scene.run(lambda scene: scene.command, trees.environment) == OUT
    scene.close()
