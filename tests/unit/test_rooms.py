"""The rooms' order: each imports only from rooms above its own, for type checkers too."""

import ast
import os
from collections.abc import Iterator

import treesmith

# Top to bottom. Rooms of one row know nothing of each other.
ORDER = [
    ["compiled"],
    ["errors"],
    ["names"],
    ["verbs"],
    ["linux"],
    ["ids"],
    ["rootless"],
    ["sandbox"],
    ["veil"],
    ["run"],
    ["spec"],
    ["archive"],
    ["backends"],
    ["store"],
    ["inventory", "compare", "etckeeper"],
    ["steps"],
    ["recipe"],
    ["plan"],
    ["build", "launch", "transfer", "migrate"],
    ["doctor", "service", "sbom"],
    ["ui"],
    ["cli"],
    ["__main__"],
]
ROW = {room: row for row, rooms in enumerate(ORDER) for room in rooms}
HERE = os.path.dirname(os.path.abspath(treesmith.__file__))


def modules() -> Iterator[tuple[str, ast.Module]]:
    """(path below the package, what it holds) of every module; the recipes' folder is data."""
    for folder, folders, files in os.walk(HERE, followlinks=True):
        folders[:] = [name for name in folders if name not in ("__pycache__", "recipes")]
        for name in files:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as file:
                    yield os.path.relpath(path, HERE), ast.parse(file.read(), path)


def imported(path: str, tree: ast.Module) -> Iterator[str]:
    """The full names of the modules that `path` imports anywhere, late and type-only imports included."""
    package = ["treesmith", *os.path.dirname(path).split("/")] if os.path.dirname(path) else ["treesmith"]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            if module == "treesmith":
                yield from (f"treesmith.{alias.name}" for alias in node.names if alias.name != "__version__")


def room(path: str) -> str:
    return path.partition("/")[0].removesuffix(".py")


def complaints(path: str, tree: ast.Module) -> list[str]:
    here = room(path)
    found = []
    for name in imported(path, tree):
        top, _, rest = name.partition(".")
        there = rest.partition(".")[0]
        if top == "rich" and here != "ui":
            found.append(f"{path}: only ui imports rich")
        if top == "click":
            found.append(f"{path}: Typer brings its own click")
        if top in ("_ctypes", "ctypes") and here != "linux":
            found.append(f"{path}: only linux/ calls into C")
        if top in ("backends", "recipes"):
            found.append(f"{path}: {top} is treesmith.{top}")
        if top == "threading" and path != "archive/blob.py":  # whose thread ends before anything is started
            found.append(f"{path}: clone3 runs no fork hooks, so nothing here has threads")
        if top == "treesmith" and there and there != here and ROW.get(there, len(ORDER)) >= ROW[here]:
            found.append(f"{path}: {here} stands above {there}, or beside it")
    return found


def test_every_module_is_in_a_room_and_imports_only_from_above() -> None:
    found = []
    for path, tree in modules():
        if path not in ("__init__.py",):
            assert room(path) in ROW, f"{path} is in no room"
            found += complaints(path, tree)
    assert not found


def test_the_test_sees_what_it_forbids() -> None:
    for line in (
        "import rich.table",
        "import click",
        "import _ctypes",
        "from backends import overlay",
        "import treesmith.ui",
        "from treesmith import launch",
        "from ..cli import app",
        "def late():\n    from treesmith.store import prune",
        "if TYPE_CHECKING:\n    from treesmith.store import Tree",
    ):
        assert complaints("sandbox/sandbox.py", ast.parse(line)), line
    assert not complaints("sandbox/sandbox.py", ast.parse("import os\nfrom treesmith.linux.call import syscall"))
    assert complaints("build.py", ast.parse("import treesmith.launch"))
