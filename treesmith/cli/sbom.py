"""sbom."""

import os
import sys

from treesmith.archive.read import read
from treesmith.errors import Error, UsageError
from treesmith.inventory import Part, parts
from treesmith.sbom import FORMATS
from treesmith.sbom import sbom as written
from treesmith.store import Store, Tree, open_store
from treesmith.verbs.declare import Asked


def sbom(asked: Asked, tree: str, format: str, output: str) -> None:
    if format and format not in FORMATS:
        raise UsageError(f"no format {format!r}", hint=f"--format {' or '.join(FORMATS)}")
    store = open_store(asked.store)
    found = store.find(tree)
    system, listed = _inside(store, found)
    text = written(format or FORMATS[0], found.title, found.id, found.created, system, listed)
    if not output:
        sys.stdout.write(text)
        return
    try:
        with open(output, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Error(f"{output} cannot be written", str(error.strerror)) from None


def _inside(store: Store, tree: Tree) -> tuple[dict[str, str], list[Part]]:
    """(os-release, packages)"""
    view = store.backend.open(tree, "ro")
    try:
        root = view.mount()
    finally:
        view.close()
    try:
        said = read(root, "etc/os-release") or read(root, "usr/lib/os-release")
        return _release(said.decode(errors="replace")), parts(tree.steps, root)
    finally:
        os.close(root)


def _release(text: str) -> dict[str, str]:
    """os-release(5)"""
    rows = (line.partition("=") for line in text.splitlines())
    return {name: value.strip().strip("\"'") for name, mark, value in rows if mark and not name.startswith("#")}
