"""Images that mean harm, each imported as a user would: refused with a clear error and nothing left, or laid down as
umoci does it. Nothing outside the root is ever touched.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import corpus
import pytest
from archives import state
from layouts import Written, digest, named
from workshop import Heard

from treesmith.build import build
from treesmith.compare.differences import differences
from treesmith.compare.walk import Entry, walk
from treesmith.errors import Error
from treesmith.plan import Wish
from treesmith.steps import oci
from treesmith.store import Store, create_store

LAYERS = [name for name, _ in corpus.layers("/nowhere")]
IMAGES = list(corpus.images())
TAG = "it"


class Ground:
    """Where images are imported: a store, and decoys beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outside = folder / "outside"
        self.outside.mkdir(parents=True)
        (self.outside / "file").write_text("untouched")
        (self.outside / "link").symlink_to("file")
        self.store: Store = create_store(str(folder / "store"), "overlay")
        self.recipe = folder / "evil.toml"
        self.recipe.write_text('[[step]]\noci = { image = "oci:layout", size = 1 }\n')

    def write(self) -> Written:
        shutil.rmtree(self.folder / "layout", ignore_errors=True)
        return Written(self.folder / "layout")

    def lay_down(self) -> list[Entry]:
        tree, _ = build(self.store, str(self.recipe), Heard(), wish=Wish(replace=True))
        view = self.store.backend.open(tree, "ro")
        root = view.mount()
        try:
            return list(walk(root))
        finally:
            os.close(root)
            view.close()

    def umoci(self) -> list[Entry]:
        """What umoci makes of the same."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            image = f"{self.folder}/layout:{TAG}"
            subprocess.run(
                ["umoci", "raw", "unpack", "--image", image, f"{folder}/root"], check=True, capture_output=True
            )
            root = os.open(f"{folder}/root", os.O_RDONLY | os.O_DIRECTORY)
            try:
                return list(walk(root))
            finally:
                os.close(root)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.folder))


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def unfelt(ground: Ground) -> Iterator[None]:
    before, names = state(ground.outside), {*ground.names(), "layout"}
    yield
    assert state(ground.outside) == before and {*ground.names(), "layout"} == names


def test_that_there_are_enough() -> None:
    assert len({*LAYERS, *IMAGES}) == len(LAYERS) + len(IMAGES) >= 100
    assert len({corpus.tar_of(case.layer) for _, case in corpus.layers("/nowhere")}) == len(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.usefixtures("unfelt")
def test_a_hostile_layer(ground: Ground, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oci, "_ENTRIES", 1000)
    case = dict(corpus.layers(str(ground.outside)))[name]
    layer, written = corpus.tar_of(case.layer), ground.write()
    diffs = [digest(corpus.BELOW), digest(layer)]
    image = written.image(written.blob(corpus.BELOW), written.blob(layer), diffs=diffs)
    written.index({**image, **named(TAG)})
    if case.said:
        refused(ground, case.said)
        return
    ours, theirs = ground.lay_down(), ground.umoci()
    assert [str(one) for one in differences(theirs, ours, ("links", "mtime"))] == list(case.unlike)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.usefixtures("unfelt")
def test_a_hostile_image(ground: Ground, name: str) -> None:
    write, said = corpus.images()[name]
    write(ground.write())
    refused(ground, said)


def refused(ground: Ground, said: str) -> None:
    before = ground.store.names()
    with pytest.raises(Error, match=said):
        ground.lay_down()
    assert ground.store.names() == before and not os.listdir(f"{ground.store.path}/staging")
