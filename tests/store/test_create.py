"""Which backend a new store gets where."""

import subprocess
from pathlib import Path

import pytest

from treesmith.errors import Error
from treesmith.store import create_store


def test_where_overlay_cannot_be_copy_is(tmp_path: Path) -> None:
    """An overlay is no upper of an overlay."""
    for name in ("low", "up", "work", "over"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={tmp_path}/low,upperdir={tmp_path}/up,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, tmp_path / "over"], check=True)
    try:
        assert create_store(str(tmp_path / "over/store")).backend.name == "copy"
        with pytest.raises(Error, match="overlay does not work"):
            create_store(str(tmp_path / "over/other"), "overlay")
        assert not (tmp_path / "over/other").exists()
    finally:
        subprocess.run(["umount", tmp_path / "over"], check=True)
