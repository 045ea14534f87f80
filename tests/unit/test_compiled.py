"""treesmith's own modules are found as importlib finds them, only sooner: tried on a package of two modules."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import treesmith
from treesmith.compiled import Finder, Loader

ASK = "import treesmith.compiled, treesmith.room.thing as thing; print(thing.WHAT, type(thing.__loader__).__name__)"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The folder of a package with the finder and the module treesmith.room.thing, compiled."""
    package = tmp_path / "treesmith"
    (package / "room").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "compiled.py").write_text((Path(treesmith.__file__).parent / "compiled.py").read_text())
    (package / "room/__init__.py").touch()
    (package / "room/thing.py").write_text("WHAT = 'first'\n")
    subprocess.run([sys.executable, "-m", "compileall", "-q", package], check=True)
    return tmp_path


def asked(copy: Path, *flags: str, code: str = ASK) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, *flags, "-c", code], cwd=copy, env=env, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_it_finds_what_is_compiled(copy: Path) -> None:
    assert asked(copy) == "first Loader"


def test_it_gives_modules_what_importlib_gives_them(copy: Path) -> None:
    names = ("__file__", "__cached__", "__package__", "__path__")
    tell = f"; print([[getattr(one, name, 0) for name in {names}] for one in (treesmith.room, thing)])"
    tell += "; import inspect; print(repr(inspect.getsource(thing)))"
    plain = "import treesmith.room.thing as thing, treesmith"
    assert asked(copy, code=ASK + tell).split("\n")[1:] == asked(copy, code=plain + tell).split("\n")


@pytest.mark.parametrize("content", ["WHAT = 'other'\n", "WHAT = 'longer than it was'\n"])
def test_a_source_that_has_changed_counts(copy: Path, content: str) -> None:
    source = copy / "treesmith/room/thing.py"
    before = source.stat()
    source.write_text(content)
    if len(content) == before.st_size:
        os.utime(source, (before.st_atime, before.st_mtime + 1))
    else:
        os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert asked(copy) == f"{content[8:-2]} SourceFileLoader"
    assert asked(copy) == f"{content[8:-2]} Loader"


@pytest.mark.parametrize("damage", [b"", b"x" * 40, "cut"])
def test_what_is_not_well_compiled_is_left_to_importlib(copy: Path, damage: bytes | str) -> None:
    [compiled] = (copy / "treesmith/room/__pycache__").glob("thing.*")
    whole = compiled.read_bytes()
    compiled.write_bytes(damage if isinstance(damage, bytes) else whole[:-20])
    if damage == "cut":  # as importlib has it: the header is right, so it is no stale one
        with pytest.raises(subprocess.CalledProcessError):
            asked(copy)
        return
    assert asked(copy) == "first SourceFileLoader"


def test_elsewhere_compiled(copy: Path) -> None:
    assert asked(copy, "-O") == "first SourceFileLoader"
    assert asked(copy, "-X", f"pycache_prefix={copy}/cache") == "first SourceFileLoader"


def test_only_treesmiths_own() -> None:
    assert Finder.find_spec("tree.names", treesmith.__path__) is None
    assert Finder.find_spec("treesmith") is None
    assert Finder.find_spec("treesmith.nothing", treesmith.__path__) is None
    found = Finder.find_spec("treesmith.names", treesmith.__path__)
    assert found is None or isinstance(found.loader, Loader)  # None: nobody has compiled it
