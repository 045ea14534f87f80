"""SIGKILL and a full disk in a repair: nothing is lost, and the next one goes on."""

import os
import subprocess
import sys
from pathlib import Path

import damage
import pytest
import strike
from forest import content
from scenes import tidy

from treesmith.compare import differences
from treesmith.store import create_store, open_store
from treesmith.store.check import check

GOOD = ("base", "other")


@pytest.mark.parametrize("backend", ["overlay", "copy"])
@pytest.mark.parametrize("fault", [strike.KILL, strike.NO_SPACE])
def test_every_blow(backend: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fresh, path = tmp_path / "fresh", tmp_path / "store"
    store = create_store(str(fresh), backend)
    damage.grove(store)
    whole = {name: content(store, store.find(name)) for name in GOOD}
    id = store.find("web").id
    for kind in (
        damage.garbage_record, damage.name_to_nowhere, damage.name_that_is_a_file, damage.key_is_gone, damage.stray,
        damage.dead_staging, damage.open_to_others,
    ):  # fmt: skip
        kind(store)
    command = [sys.executable, "-B", "-m", "treesmith", "--store", str(path), "check", "--repair"]
    env = {"PYTHONPATH": os.pathsep.join(sys.path)}

    def prepare() -> None:
        subprocess.run(["rm", "-rf", path], check=True)
        subprocess.run(["cp", "-a", "--reflink=auto", fresh, path], check=True)

    hits = 0
    for blow in strike.each(command, tmp_path, prepare, fault, env=env):
        hits += blow.hit
        assert blow.hit or blow.status == 0, str(blow)
        if blow.hit:
            # Others come in between, who clear up what they may.
            os.chmod(path, 0o700)
            open_store(str(path)).recover()
            done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{blow}\n{done.stdout}\n{done.stderr}"
        report = check(str(path))
        assert report.damage == [], str(blow)
        store = open_store(str(path))
        assert store.recover() == []
        tidy(store)
        assert set(store.names()) == set(GOOD)
        for name in GOOD:
            assert not list(differences(whole[name], content(store, store.find(name)))), str(blow)
        aside = path / "quarantine"
        assert (aside / id).is_dir()
        assert "web" in [file.read_text() for file in aside.rglob("web") if file.is_file()], str(blow)
        assert (aside / "file").read_text() == (aside / "notes.txt").read_text() == "mine"
    with capsys.disabled():
        print(f" {hits} points", end="")
    assert hits > 20
