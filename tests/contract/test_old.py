"""ZFS before 2.2 has no id-mapped mounts: a store works there, and launches say what they need. Runs in the guest that
has Debian 12's own."""

import json
import subprocess
from pathlib import Path

import filesystems
import pytest
from launching import Trees

from treesmith.sandbox.sandbox import COMMAND

VERSION = Path("/sys/module/zfs/version")


@pytest.mark.skipif(not VERSION.exists(), reason="no ZFS here: see tests/guest")
def test_old_zfs_keeps_trees_and_launches_without_private_users(tmp_path: Path) -> None:
    version = VERSION.read_text().strip()
    assert version < "2.2"
    with filesystems.zfs(tmp_path) as mounted:
        trees = Trees(mounted)
        assert trees.store.backend.name == "zfs"
        said = trees.run("--store", str(mounted / "other"), "init").stdout
        assert "no id-mapped mounts: launches there need --private-users no" in said
        checks = {check["name"]: check for check in json.loads(trees.run("doctor", "--json").stdout)["checks"]}
        assert (checks["backend zfs"]["state"], checks["id-mapped mounts"]["state"]) == ("warn", "fail")
        assert "no id-mapped mounts" in checks["backend zfs"]["found"]

        refused = trees.run("launch", "-q", "base", "--", "true")
        assert refused.returncode == 125
        assert f"ZFS {version} has no id-mapped mounts" in refused.stderr and "--private-users no" in refused.stderr
        subprocess.run(["tar", "-C", mounted / "busybox", "-cf", mounted / "base.tar", "."], check=True)
        (mounted / "recipe.toml").write_text('[[step]]\ntar = { file = "base.tar" }\n[[step]]\nrun = "true"\n')
        refused = trees.run("build", str(mounted / "recipe.toml"))
        assert refused.returncode == 1 and f"ZFS {version} has no id-mapped mounts" in refused.stderr

        tree = trees.fresh()
        script = "id -u; head -1 /proc/self/uid_map; grep -E '^(CapBnd|Seccomp):' /proc/self/status; mknod /x b 8 0; :"
        first = trees.sh(script, "--private-users", "no", tree=tree).split()
        bounds = f"{sum(1 << number for number in COMMAND):016x}"
        assert first == ["0", "0", "0", "4294967295", "CapBnd:", bounds, "Seccomp:", "2"]
        trees.sh("test ! -e /x; chown 33:44 /root; echo kept >/kept", "--private-users", "no", tree=tree)
        copy = trees.store.snapshot(trees.store.find(tree), "copy").name
        assert trees.sh("cat /kept; stat -c %u:%g /root", "--private-users", "no", tree=copy) == "kept\n33:44\n"
        chroot = ("--isolation", "chroot", "--user", "me")
        assert trees.sh("id -u; grep ^NoNewPrivs /proc/self/status", *chroot, tree=copy).split()[::2] == ["1000", "1"]
