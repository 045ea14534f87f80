"""The real command on a store of the test's own, with either backend."""

import contextlib
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import images
import pytest
import roots
from command import Command, make_tree, on
from images import Registry, sh
from launching import Trees
from plain import Plain

from treesmith.store import Store, Tree, create_store, open_store


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture(params=["overlay", "copy"])
def store(request: pytest.FixtureRequest, store_path: Path) -> Store:
    create_store(str(store_path), request.param)
    return open_store(str(store_path))


@pytest.fixture
def treesmith(store_path: Path) -> Command:
    """`treesmith(*words, status=0, **environment)`: see `command.on`."""
    return on(store_path)


@pytest.fixture
def base(store: Store) -> Tree:
    return make_tree(store, "base")


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., str]:
    """`recipe(text, name="app")`: a recipe that begins with a busybox and goes on with `text`; its path."""
    root = roots.busybox(tmp_path / "root")
    with tarfile.open(tmp_path / "base.tar", "w") as archive:
        archive.add(root, ".")

    def write(text: str = "", name: str = "app") -> str:
        path = tmp_path / f"{name}.toml"
        path.write_text(f'[[step]]\ntar = {{ file = "base.tar" }}\n{text}')
        return str(path)

    return write


@pytest.fixture(scope="module")
def plain_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plain]:
    """With a sealed busybox tree, `base`."""
    user = Plain()
    try:
        user.add("base", roots.busybox(tmp_path_factory.mktemp("plain") / "busybox"))
        yield user
    finally:
        user.close()


@pytest.fixture
def me(plain_user: Plain) -> Iterator[Plain]:
    """Of whom nothing runs any more when the test ends."""
    yield plain_user
    left = plain_user.records()
    plain_user.stop_all()
    assert left == set()


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    """For the tests of launches, which share a store: it takes long to make."""
    return Trees(tmp_path_factory.mktemp("trees"))


@pytest.fixture
def tree(trees: Trees) -> Iterator[str]:
    """A writable tree of `trees`, until the test ends."""
    name = trees.fresh()
    yield name
    trees.store.remove([trees.store.find(name)])


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("registry") / "data"
    shutil.copytree(images.stocked(), folder)
    with contextlib.closing(Registry(folder)) as registry:
        yield registry


@pytest.fixture
def layout(tmp_path: Path, registry: Registry) -> Path:
    """podman's image, tagged "image", as an OCI layout."""
    path = tmp_path / "layout"
    sh("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{registry.name('podman')}", f"oci:{path}:image")
    return path
