"""ZFS before 2.2 has no id-mapped mounts, and no store is made there. Runs in the guest that has Debian 12's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import filesystems
import pytest

VERSION = Path("/sys/module/zfs/version")


@pytest.mark.skipif(not VERSION.exists(), reason="no ZFS here: see tests/guest")
def test_zfs_that_cannot_map_ids_is_refused(tmp_path: Path) -> None:
    version = VERSION.read_text().strip()
    assert version < "2.2"
    with filesystems.zfs(tmp_path) as mounted:
        store = mounted / "store"

        def treesmith(*words: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "treesmith", "--store", str(store), *words]
            return subprocess.run(command, capture_output=True, text=True, check=False)

        done = treesmith("init", "--backend", "zfs")
        assert done.returncode == 1
        assert f"ZFS {version} has no id-mapped mounts" in done.stderr
        assert "ZFS 2.2" in done.stderr
        checks = {check["name"]: check for check in json.loads(treesmith("doctor", "--json").stdout)["checks"]}
        assert checks["backend zfs"]["state"] == "no"
        assert "id-mapped" in checks["backend zfs"]["found"]
        assert checks["zfs"]["state"] == "ok" and version in checks["zfs"]["found"]
        assert os.listdir(mounted) == []
        names = subprocess.run(["zfs", "list", "-H", "-o", "name"], stdout=-1, text=True, check=True).stdout.split()
        assert names == ["treesmith-test"]
