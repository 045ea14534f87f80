"""What apk is told, and what it says is there."""

import os
from pathlib import Path

from treesmith import inventory
from treesmith.steps import apk
from treesmith.steps.apk import Source


def test_the_command() -> None:
    argv = apk.command("apk", "i686", ["a", "b"], new=True, trust=True)
    assert argv[:3] == ["apk", "--root=/target", "--arch=x86"] and argv[-4:] == ["add", "--initdb", "a", "b"]
    assert "--allow-untrusted" in argv
    again = apk.command("apk", "x86_64", ["a"], new=False, trust=False)
    assert "--arch=x86_64" in again and not {"--initdb", "--allow-untrusted"} & set(again)


def test_where_packages_are() -> None:
    assert Source("http://x/v3/", ("main", "community"), {}).lines == ["http://x/v3/main", "http://x/v3/community"]
    assert Source("file:///x/packages.adb", (), {}).lines == ["file:///x/packages.adb"]


def test_what_is_installed(tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        assert inventory.alpine(root) == {}
        (tmp_path / "lib/apk/db").mkdir(parents=True)
        text = "C:Q1x=\nP:musl\nV:1.2.5-r0\nF:lib\nR:a:b\n\nP:busybox\nV:1.36-r1\n\n"
        (tmp_path / "lib/apk/db/installed").write_text(text)
        assert inventory.alpine(root) == {"busybox": "1.36-r1", "musl": "1.2.5-r0"}
    finally:
        os.close(root)
