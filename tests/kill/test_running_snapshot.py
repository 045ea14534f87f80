"""SIGKILL and a full disk at every step of the snapshot of a tree that runs: what runs goes on, and the snapshot is
whole or was never there."""

import os
import sys
from pathlib import Path

import pytest
import strike
from forest import content
from launching import wait_for
from running import runnable, running
from scenes import DRIVER, tidy

from treesmith.compare import differences
from treesmith.sandbox import cgroup, standstill
from treesmith.store import create_store, open_store

# The guard is forked, notes are written and cut, and the cgroup is frozen and thawed by writing.
CALLS = (*strike.CALLS, "write,pwrite64,ftruncate", "?fork,?vfork,clone,clone3", "flock", "setsid,wait4")


@pytest.mark.parametrize("backend", ["overlay", "copy"])
@pytest.mark.parametrize("fault", [strike.KILL, strike.NO_SPACE])
def test_every_blow(backend: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "store"
    store = create_store(str(path), backend)
    tree = runnable(store, tmp_path)
    command = [sys.executable, "-B", str(DRIVER), str(path), "snapshot_running"]
    script = "rm -r /dir; mkdir /dir; touch /dir/new; rm /etc/removed; echo up; while :; do sleep 0.01; done"
    hits = made = 0
    with running(store, tree, script) as process:
        before = content(store, tree)
        calls = CALLS if fault == strike.KILL else strike.CALLS

        def prepare() -> None:
            if "new" in store.names():
                store.remove([store.find("new")])

        for blow in strike.each(command, tmp_path, prepare, fault, calls, {"PYTHONPATH": os.pathsep.join(sys.path)}):
            hits += blow.hit
            assert blow.hit or blow.status == 0, str(blow)
            assert open_store(str(path)).recover() == [], str(blow)
            wait_for(f"{blow} to be thawed", lambda: not cgroup.is_frozen(process.cgroup))
            assert not os.listdir(standstill.RUN), str(blow)
            if "new" in store.names():
                made += 1
                assert not list(differences(before, content(store, store.find("new")))), str(blow)
            tidy(store)
        assert not list(differences(before, content(store, tree)))
    with capsys.disabled():
        print(f" {hits} points", end="")
    assert made >= len(calls) and hits > 10
    store.backend.clear(str(tmp_path))
