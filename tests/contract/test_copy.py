"""What only the copying backend meets: subvolumes it knows nothing of, and a copier that must not be left alone."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from forest import content, opened, plant
from launching import wait_for

from treesmith.backends.copy import copy_tree
from treesmith.compare import differences
from treesmith.store import Store

btrfsutil = pytest.importorskip("btrfsutil", reason="pip install -e '.[btrfs]'; ci/test does")


@pytest.mark.parametrize("ground", [("copy", "btrfs")], ids="@".join, indirect=True)
def test_subvolumes_inside_are_copied_and_mounts_are_not(store: Store, tmp_path: Path) -> None:
    """systemd makes such subvolumes wherever it can."""
    with store.stage() as stage:
        stage.create()
        with opened(store, stage) as root:
            plant(root)
            btrfsutil.create_subvolume(str(root / "machines"))
            (root / "machines/kept").write_text("kept")
            (root / "there").mkdir()
        base = store.publish(stage, "build", "base")
    before = content(store, base)
    (tmp_path / "alien").touch()
    subprocess.run(["mount", "--bind", tmp_path, f"{base.home}/root/there"], check=True)
    try:
        fork = store.snapshot(base, "fork")
    finally:
        subprocess.run(["umount", f"{base.home}/root/there"], check=True)
    assert not [str(difference) for difference in differences(before, content(store, fork))]
    store.remove([fork])
    assert not list(differences(before, content(store, base)))


def test_the_copier_dies_with_who_started_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/cp").write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    (tmp_path / "bin/cp").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    child = os.fork()
    if not child:
        copy_tree(str(tmp_path), str(tmp_path / "copy"))
        os._exit(1)
    wait_for("a copier", lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    copier = int((tmp_path / "pid").read_text())
    assert os.path.exists(f"/proc/{copier}")
    os.kill(child, 9)
    os.waitpid(child, 0)
    until = time.monotonic() + 10
    while os.waitpid(copier, os.WNOHANG) == (0, 0):  # an orphan is ours
        assert time.monotonic() < until
        time.sleep(0.01)
