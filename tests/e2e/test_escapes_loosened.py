"""The ways out of containers once more, where ids are the host's: all but that root inside is its root."""

import subprocess
from pathlib import Path

import escapees
import pytest
from launching import Trees
from ways_out import HELD, OUT, WAYS, Scene, identity

LOOSENED = {"private-users": ("--private-users=no",), "chroot": ("--isolation=chroot", "--user=1000:1000")}


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("escape") / "escape"
    subprocess.run(["gcc", "-static", "-O", "-o", program, Path(__file__).parent / "escape.c"], check=True)
    return program


@pytest.mark.parametrize("mode", LOOSENED)
@pytest.mark.parametrize("name", WAYS)
def test_escape(trees: Trees, probe: Path, tmp_path: Path, name: str, mode: str) -> None:
    scene = Scene(tmp_path / mode, probe)
    WAYS[name](scene)
    plain = escapees.treesmith(trees, boot=False)

    def argv(scene: Scene) -> list[str]:
        words = plain(scene)
        at = words.index("launch") + 1
        return [*words[:at], *LOOSENED[mode], *words[at:]]

    found = scene.run(argv, trees.environment)
    scene.close()
    trees.store.remove([trees.store.find(escapees.name(scene))])
    loosened = WAYS[name] is identity and mode == "private-users"
    assert found == (OUT if loosened else HELD), scene.said
    assert "Traceback" not in scene.said
