import subprocess
from pathlib import Path

import pytest

from treesmith.errors import Error
from treesmith.steps import dsc
from treesmith.steps.debian import with_sources

CHANGELOG = "\nhello (1:2.10-3) unstable; urgency=medium\n\n  * x\n\n -- A B <a@b.c>  Mon, 26 Dec 2022 16:30:00 +0100\n"


def test_files() -> None:
    text = "Format: 3.0 (quilt)\nSource: hello\nFiles:\n 00 1 a.tar.gz\n 11 22 a.debian.tar.xz\nX: y\n"
    for signed in (
        text,
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{text}\n-----BEGIN PGP SIGNATURE-----\n",
    ):
        assert dsc.files(signed) == ["a.tar.gz", "a.debian.tar.xz"]
    with pytest.raises(Error, match="names no files"):
        dsc.files("Source: hello\n")


def test_a_version_of_its_own() -> None:
    assert dsc.head(CHANGELOG) == ("hello", "1:2.10-3")
    made = dsc.anew(CHANGELOG, "+0treesmith1", ["built anew", "x.patch"])
    assert dsc.head(made) == ("hello", "1:2.10-3+0treesmith1") and made.endswith(CHANGELOG)
    assert "  * x.patch\n\n -- treesmith <root@localhost>  Mon, 26 Dec 2022 16:30:00 +0100\n" in made
    for lower, higher in (("3", "3+0treesmith1"), ("3+0treesmith1", "3+b1"), ("3+0treesmith1", "3+deb12u1")):
        subprocess.run(["dpkg", "--compare-versions", lower, "lt", higher], check=True)
    for wrong in ("", "hello\n", "Hello (1)"):
        with pytest.raises(Error, match="no version is in its debian/changelog"):
            dsc.head(wrong)
    with pytest.raises(Error, match="no date"):
        dsc.anew("hello (1) x; urgency=low\n", "+a", [])


def test_with_sources() -> None:
    text = "# deb x\ndeb [signed-by=/x] http://x suite main\n deb http://y ./\ndeb-src http://z s main\n"
    assert with_sources(text, False).splitlines()[4:] == [
        "deb-src [signed-by=/x] http://x suite main", "deb-src http://y ./",
    ]  # fmt: skip
    assert with_sources("Types: deb\nURIs: x\n\nTypes: deb deb-src\n", True) == (
        "Types: deb deb-src\nURIs: x\n\nTypes: deb deb-src\n"
    )
    assert with_sources("", False) == ""


def test_a_keyring_in_ascii(tmp_path: Path) -> None:
    data = bytes(range(256)) * 3
    (tmp_path / "keys").write_bytes(data)
    armor = subprocess.run(["gpg", "--enarmor"], input=data, capture_output=True, check=True).stdout
    armor = armor.replace(b"ARMORED FILE", b"PUBLIC KEY BLOCK")
    assert dsc.dearmored(armor) == data and dsc.dearmored(armor + b"\n" + armor) == data * 2
    assert dsc.dearmored(data) == data
