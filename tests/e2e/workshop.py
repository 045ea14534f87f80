"""Building recipes written in a test, in this process, and looking at what became of them."""

import os
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from offline.debian import Debian

from treesmith.archive.read import read
from treesmith.build import build
from treesmith.compare.walk import Entry, walk
from treesmith.plan import Plan, Wish
from treesmith.store import Store, Tree


class Heard:
    """A Report that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begin(self, n: int, total: int, text: str) -> None:
        self.lines.append(text)

    def line(self, text: str) -> None:
        self.lines.append(text)

    def tick(self) -> None:
        pass

    def end(self, text: str) -> None:
        pass

    def say(self, text: str) -> None:
        self.lines.append(text)


class Workshop:
    """A store, a folder for recipes, and a base to begin with: `debian`, made of the offline repository."""

    def __init__(self, store: Store, folder: Path, debian: Debian) -> None:
        self.store, self.folder, self.debian = store, folder, debian
        folder.mkdir(exist_ok=True)
        self.plan: Plan | None = None
        self.heard: list[str] = []

    def write(self, text: str, name: str = "test") -> Path:
        """A recipe; {mirror} and {keyring} in it are the offline repository's."""
        path = self.folder / f"{name}.toml"
        text = text.replace("{mirror}", f"file://{self.debian.folder}").replace("{keyring}", str(self.debian.keyring))
        path.write_text(textwrap.dedent(text))
        return path

    def base(self, driver: str = "auto", more: str = "") -> Path:
        text = """
            [[step]]
            driver = "DRIVER"
            [step.debootstrap]
            suite = "bookworm"
            mirror = "{mirror}"
            keyring = "{keyring}"
            MORE
        """
        return self.write(text.replace("DRIVER", driver).replace("MORE", more), f"base-{driver}")

    def make(self, steps: str, name: str = "test", wish: Wish | None = None, **given: str) -> Tree:
        """Build the recipe of these steps on top of the base. given: secrets."""
        self.base()
        path = self.write(f'from = "./base-auto.toml"\n{textwrap.dedent(steps)}', name)
        return self.build(path, wish, given)

    def build(self, path: Path, wish: Wish | None = None, given: Mapping[str, str] | None = None) -> Tree:
        report = Heard()
        try:
            tree, self.plan = build(self.store, str(path), report, wish=wish or Wish(replace=True), given=given or {})
        finally:
            self.heard = report.lines
        return tree

    def verbs(self) -> list[str]:
        """What the last build made or kept, the steps of its own recipe only."""
        assert self.plan
        last = self.plan.result.recipe.name
        return [action.verb for action in self.plan.actions if action.step and action.recipe.name == last]

    @contextmanager
    def root(self, tree: Tree) -> Iterator[int]:
        view = self.store.backend.open(tree, "ro")
        root = view.mount()
        try:
            yield root
        finally:
            os.close(root)
            view.close()

    def read(self, tree: Tree, path: str) -> str:
        with self.root(tree) as root:
            return read(root, path).decode(errors="surrogateescape")

    def entries(self, tree: Tree, below: str = "") -> dict[str, Entry]:
        with self.root(tree) as root:
            return {entry.path: entry for entry in walk(root, content=False) if entry.path.startswith(below)}

    def staged(self) -> list[str]:
        """What lies in staging and trash: nothing, if the last build cleared up."""
        return [str(path) for name in ("staging", "trash") for path in Path(self.store.path, name).iterdir()]
