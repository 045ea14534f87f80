"""Trees for a machine of another kind: by qemu-user where the kernel knows of it, else refused before anything runs."""

import io
import tarfile
from pathlib import Path

import pytest
from command import Command, on
from emulators import FOLDER, emulated, riscv

from treesmith.sandbox import foreign

HELLO = "hello from a riscv64\n"


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    with tarfile.open(tmp_path / "root.tar", "w") as tar:
        data = riscv(HELLO)
        member = tarfile.TarInfo("bin/sh")
        member.size, member.mode = len(data), 0o755
        tar.addfile(member, io.BytesIO(data))
    path = tmp_path / "other.toml"
    path.write_text('arch = "riscv64"\n[[step]]\ntar = { file = "root.tar" }\n[[step]]\nrun = "said"\n')
    return str(path)


@pytest.fixture
def treesmith(tmp_path: Path) -> Command:
    return on(tmp_path / "store")


def test_a_tree_for_another_machine(treesmith: Command, recipe: str) -> None:
    with emulated("riscv64"):
        treesmith("build", recipe)
        assert HELLO in treesmith("history", "other", "--log").stdout
        assert treesmith("launch", "-q", "other", "--", "/bin/sh").stdout == HELLO


def test_without_an_emulator(treesmith: Command, recipe: str) -> None:
    """What runs nothing is made all the same; the next step says what is missing."""
    if any((FOLDER / name).exists() for name in ("qemu-riscv64", "treesmith-riscv64")):
        pytest.skip("this machine runs programs for riscv64")
    said = treesmith("build", recipe, status=1).stderr
    assert "step 2: run: programs for riscv64 do not run on this machine" in said
    assert "qemu-user-static" in said
    assert "make" in treesmith("build", recipe, "--dry-run").stdout


def test_a_bootstrap_without_an_emulator(treesmith: Command, tmp_path: Path) -> None:
    path = tmp_path / "deb.toml"
    path.write_text('arch = "s390x"\n[[step]]\n[step.debootstrap]\nsuite = "bookworm"\n')
    if any((FOLDER / name).exists() for name in ("qemu-s390x", "treesmith-s390x")):
        pytest.skip("this machine runs programs for s390x")
    assert "programs for s390x do not run on this machine" in treesmith("build", str(path), status=1).stderr
    assert foreign.machine not in ("s390x", "riscv64")
