"""The rooms that a launch goes through import nothing slow, and build no module that does: seen in an interpreter of
its own, in which no site has imported anything before."""

import os
import subprocess
import sys
from pathlib import Path

import treesmith

SOURCE = Path(treesmith.__file__).parent
SLOW = {
    "collections", "contextlib", "ctypes", "dataclasses", "enum", "functools", "importlib.metadata", "inspect",
    "json", "pathlib", "re", "rich", "signal", "socket", "struct", "subprocess", "threading", "typer", "typing",
}  # fmt: skip
HOT = ("compiled", "errors", "names", "linux", "ids", "rootless", "sandbox", "run", "spec", "launch")
COLD = {"treesmith.sandbox.view"}  # for type checkers alone


def modules() -> list[str]:
    found = []
    for room in HOT:
        files = [SOURCE / f"{room}.py"] if (SOURCE / f"{room}.py").exists() else sorted((SOURCE / room).rglob("*.py"))
        for file in files:
            name = "treesmith." + str(file.relative_to(SOURCE)).removesuffix(".py").replace(os.sep, ".")
            found.append(name.removesuffix(".__init__"))
    return [name for name in found if name not in COLD]


def imported(names: list[str]) -> set[str]:
    code = f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r}); bare = set(sys.modules)\n"
    code += "\n".join(f"import {name}" for name in names) + "\nprint(*(set(sys.modules) - bare))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_hot_rooms_import_nothing_slow() -> None:
    names = modules()
    assert len(names) > 30
    found = imported(names)
    assert set(names) <= found
    assert not found & SLOW


def test_the_test_would_notice() -> None:
    assert imported(["subprocess"]) & SLOW >= {"subprocess", "signal", "threading"}
