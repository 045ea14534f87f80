"""Whose programs the kernel hands to an emulator, as it says so in files."""

from pathlib import Path

import pytest

from treesmith.errors import Error
from treesmith.sandbox.foreign import check

# As the kernel shows qemu's entries for riscv64 and s390x.
RISCV = (
    "7f454c460201010000000000000000000200f300",
    "ffffffffffffff00fffffffffffffffffeffffff",
)
S390 = (
    "7f454c4602020100000000000000000000020016",
    "fffffffffffffffcfffffffffffffffffffeffff",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "status").write_text("enabled\n")
    (tmp_path / "register").touch()
    return tmp_path


def entry(path: Path, format: tuple[str, str], flags: str = "POF", state: str = "enabled") -> None:
    magic, mask = format
    path.write_text(f"{state}\ninterpreter /usr/bin/qemu\nflags: {flags}\noffset 0\nmagic {magic}\nmask {mask}\n")


def refused(folder: Path, arch: str) -> str:
    with pytest.raises(Error) as caught:
        check(arch, str(folder))
    return str(caught.value)


def test_which_programs_run(folder: Path) -> None:
    assert f"nothing in {folder} is for them" in refused(folder, "s390x")
    for arch, format in (("s390x", S390), ("riscv64", RISCV)):
        entry(folder / f"qemu-{arch}", format)
        check(arch, str(folder))
    entry(folder / "python", ("0a0d", "ffff"))
    (folder / "extension").write_text("enabled\ninterpreter /usr/bin/x\nflags: \nextension .x\n")
    for arch in ("loongarch64", "m68k"):
        assert "do not run on this machine" in refused(folder, arch)
    assert refused(folder, "no-such-machine")


def test_what_is_switched_off(folder: Path) -> None:
    entry(folder / "qemu-s390x", S390, state="disabled")
    assert refused(folder, "s390x")
    entry(folder / "qemu-s390x", S390)
    (folder / "status").write_text("disabled\n")
    assert refused(folder, "s390x")
    assert refused(folder / "nowhere", "s390x")


def test_an_emulator_that_a_root_would_need_to_hold(folder: Path) -> None:
    entry(folder / "qemu-s390x", S390, flags="")
    assert "/usr/bin/qemu would run them, but is registered without the flag F" in refused(folder, "s390x")
    entry(folder / "another", S390, flags="F")
    check("s390x", str(folder))
