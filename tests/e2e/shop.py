"""Building with one kind that fills an empty root, from a repository on disk, in this process."""

import os
from pathlib import Path

from workshop import Heard

from treesmith.archive.read import read
from treesmith.build import build
from treesmith.compare.walk import Entry, walk
from treesmith.errors import Error
from treesmith.plan import Plan, Wish
from treesmith.store import Store, Tree


class Shop:
    """kind: a step's. options: those that each of its recipes has, but for what a test says otherwise. step: the first
    step's own lines.
    """

    def __init__(self, store: Store, folder: Path, kind: str, step: str = "", **options: str) -> None:
        self.store, self.folder, self.kind, self.step, self.options = store, folder, kind, step, options
        self.plan: Plan | None = None
        self.heard = Heard()

    def write(self, packages: str, more: str = "", **other: str) -> Path:
        """A recipe of one step and what `more` adds. other: options, "" for none, a list as TOML has it."""
        given = {key: value for key, value in {**self.options, **other}.items() if value}
        quoted = {key: value if value[0] == "[" else f'"{value}"' for key, value in given.items()}
        lines = "".join(f"{key} = {value}\n" for key, value in quoted.items())
        path = self.folder / "base.toml"
        path.write_text(f"[[step]]\n{self.step}[step.{self.kind}]\npackages = [{packages}]\n{lines}{more}")
        return path

    def build(self, path: Path, locked: str | None = None) -> Tree:
        self.heard = Heard()
        tree, self.plan = build(self.store, str(path), self.heard, wish=Wish(replace=True), locked=locked)
        return tree

    def fails(self, path: Path) -> Error:
        """What is said to who builds it. Nothing half-made is left."""
        before = self.store.names()
        try:
            self.build(path)
        except Error as error:
            assert self.store.names() == before and not list(Path(self.store.path, "staging").iterdir())
            return error
        raise AssertionError(f"{path} was built")

    def look(self, tree: Tree) -> dict[str, str]:
        """Path -> type."""
        return {entry.path: entry.type for entry in self.all_of(tree, content=False)}

    def all_of(self, tree: Tree, content: bool = True) -> list[Entry]:
        view = self.store.backend.open(tree, "ro")
        root = view.mount()
        try:
            return list(walk(root, content=content))
        finally:
            os.close(root)
            view.close()

    def read(self, tree: Tree, path: str) -> bytes:
        view = self.store.backend.open(tree, "ro")
        root = view.mount()
        try:
            return read(root, path)
        finally:
            os.close(root)
            view.close()
