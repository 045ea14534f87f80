"""Building recipes written in a test, in this process, and looking at what became of them."""

import os
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from offline.debian import Debian

from treesmith.archive.read import read
from treesmith.build import build, lock, outdated
from treesmith.compare import differences
from treesmith.compare.walk import Entry, walk
from treesmith.plan import Plan, Wish
from treesmith.store import Store, Tree, create_store


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


class Elsewhere:
    """Two workshops with the same recipes and repository, and stores of their own: on overlay, and on `other`."""

    def __init__(self, folder: Path, repository: Debian, other: str = "copy") -> None:
        self.repository = repository.copy(folder / "repo")
        stores = (create_store(str(folder / f"store-{n}"), backend) for n, backend in enumerate(("overlay", other)))
        self.here, self.there = (Workshop(store, folder / "recipes", self.repository) for store in stores)

    def lock(self, path: Path) -> Path:
        written = path.with_suffix(".lock")
        written.write_text(lock(self.here.store, str(path)))
        return written

    def newer(self, name: str = "app") -> list[tuple[str, str, str]]:
        """(package, old version, new version) of what a rebuild would change."""
        tree = self.here.store.find(name)
        before = {each.id for each in self.here.store.trees()}
        changes = outdated(self.here.store, tree, Heard())
        assert {each.id for each in self.here.store.trees()} == before and not self.here.staged()
        return [(change.what, change.old, change.new) for change in changes if change.what]

    def again(self, path: Path, shop: Workshop | None = None) -> Tree:
        shop = shop or self.there
        report = Heard()
        tree, shop.plan = build(shop.store, str(path), report, wish=Wish(replace=True), locked="")
        shop.heard = report.lines
        return tree

    def twice(self, path: Path) -> Tree:
        """Locked in both stores, at other times: the same to the last byte."""
        tree, began = self.again(path, self.here), time.time()
        time.sleep(max(0, 1.1 - (time.time() - began)))
        other = self.again(path)
        with self.here.root(tree) as one, self.there.root(other) as two:
            here, there = list(walk(one)), list(walk(two))
        assert not [str(difference) for difference in differences(here, there)]
        epoch = int(os.environ["SOURCE_DATE_EPOCH"]) * 10**9
        assert not [entry.path for entry in here if entry.mtime > epoch]
        return tree

    def dated(self, tree: Tree) -> list[str]:
        """Files in which today is written, of a tree that is here."""
        now = datetime.now(UTC)
        words = [now.strftime(form).encode() for form in ("%Y-%m-%d", "%d %b %Y", "%b %d %H:")]
        found = []
        with self.here.root(tree) as root:
            for entry in walk(root, content=False):
                if entry.type == "file" and 0 < entry.size < 1 << 20:
                    data = Path(f"/proc/self/fd/{root}", entry.path).read_bytes()
                    found += [entry.path for word in words if word in data]
        return found
