"""Source packages, built anew by the real tools and installed; and all that can go wrong."""

import hashlib
from pathlib import Path

import pytest
from offline import source
from offline.deb import Package
from offline.debian import Debian, debian, hello
from workshop import Elsewhere, Workshop

from treesmith.errors import Error
from treesmith.store import create_store

STEP = '[[step]]\n[step.package]\nsource = "greet"\n'
RUN = '[[step]]\nrun = "greet >/said; dpkg -S /usr/bin/greet >>/said"\n'
VERSION = "1:1.2-1+0treesmith1"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Debian:
    folder = tmp_path_factory.mktemp("repository")
    made = debian().copy(folder / "repo")
    (folder / "source").mkdir()
    source.publish(made, source.source(folder / "source"))
    return made


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packages") / "store"
    create_store(str(path), "overlay")
    return path


@pytest.fixture
def shop(kept: Path, tmp_path: Path, repository: Debian) -> Workshop:
    shop = Workshop(create_store(str(kept)), tmp_path / "recipes", repository)
    (shop.folder / "greet.patch").write_text(source.PATCH)
    return shop


def failing(shop: Workshop, steps: str) -> Error:
    with pytest.raises(Error) as caught:
        shop.make(steps, "fails")
    assert "fails" not in shop.store.names() and not shop.staged()
    assert not list(Path(shop.store.path, "cache").rglob("step/*"))
    return caught.value


def test_of_the_trees_sources(shop: Workshop) -> None:
    steps = f'{STEP}patches = ["greet.patch"]\nprofiles = ["nodoc"]\noptions = ["noopt"]\njobs = 3\n{RUN}'
    tree = shop.make(steps)
    assert shop.read(tree, "/said") == "patched, from package\ngreet: /usr/bin/greet\n"
    assert shop.read(tree, "/usr/share/greet/builder") == "nobody\n"
    assert shop.read(tree, "/usr/share/greet/options") == "noopt parallel=3;nodoc\n"
    there = shop.entries(tree)
    assert (there["usr/share/greet/options"].uid, there["usr/share/greet/options"].gid) == (5, 8)
    assert "usr/bin/hello" in there  # it depends on it
    assert not {"usr/bin/tool", "usr/bin/make", "build"} & set(there)
    assert not [path for path in there if "treesmith" in path and path.startswith(("etc/apt", "run/"))]
    made = tree.steps[-2]["made"]
    assert made["package"]["name"] == "greet" and made["package"]["version"] == VERSION
    dsc = shop.debian.folder / "pool/greet_1.2-1.dsc"
    assert made["package"]["digest"] == f"sha256:{hashlib.sha256(dsc.read_bytes()).hexdigest()}"
    names = {name.partition(":")[0]: version for name, version in made["packages"].items()}
    assert names == {"greet": VERSION, "hello": "1.0"}
    (built,) = made["built"]
    assert built.startswith("greet:") and built not in made["archives"] and tree.steps[-2]["pinned"]
    fetched = {name.partition(":")[0] for name in made["archives"]}
    assert {"tool", "build-essential", "hello", "greet_1.2-1.dsc", "greet_1.2.orig.tar.gz"} <= fetched
    shop.make(steps)
    assert set(shop.verbs()) == {"keep"}


def test_a_name_version_or_suite_and_which_packages(shop: Workshop) -> None:
    steps = STEP.replace('"greet"', '"greet=1:1.2-1"') + 'packages = ["greet-doc"]\nsuffix = "+mine2"\n'
    tree = shop.make(steps)
    made = tree.steps[-1]["made"]
    assert made["package"]["version"] == "1:1.2-1+mine2"
    assert {name.partition(":")[0] for name in made["built"]} == {"greet", "greet-doc"}


def test_among_sources_that_have_packages_alone(tmp_path: Path, repository: Debian) -> None:
    shop = Workshop(create_store(str(tmp_path / "store"), "overlay"), tmp_path / "recipes", debian())
    more = f'[[step]]\n[step.apt]\npackages = []\nmirror = "{repository.folder}"\nsuite = "bookworm"\n'
    tree = shop.make(f'{more}keyring = "{repository.keyring}"\n{STEP}{RUN}')
    assert shop.read(tree, "/said").startswith("hello from package\n")
    assert "deb-src" not in shop.read(tree, "/etc/apt/sources.list") and tree.steps[-2]["pinned"]


@pytest.mark.parametrize("what", ["greet_1.2-1.dsc", "greet-1.2"])
def test_of_a_file(shop: Workshop, what: str) -> None:
    source.source(shop.folder)
    tree = shop.make(f'[[step]]\npackage = {{ file = "{what}", patches = ["greet.patch"] }}\n{RUN}')
    assert shop.read(tree, "/said") == "patched, from package\ngreet: /usr/bin/greet\n"
    assert tree.steps[-2]["made"]["package"]["version"] == "1:1.2-1"
    digest = hashlib.sha256((shop.folder / "greet_1.2-1.dsc").read_bytes()).hexdigest()
    assert tree.steps[-2]["made"]["package"]["digest"] == (f"sha256:{digest}" if what.endswith(".dsc") else "")


def test_it_goes_before_one_of_the_same_version(shop: Workshop, tmp_path: Path) -> None:
    """Though the tree's sources have it, and it is installed: what was built is what is there."""
    source.source(shop.folder)
    size = r'dpkg-query --show --showformat="\${Installed-Size}" greet >/size'
    step = '[[step]]\npackage = { file = "greet-1.2" }\n'
    tree = shop.make(f"{step}[[step]]\nrun = '{size}'\n")
    repository = shop.debian.copy(tmp_path / "repo")
    # To apt the same but for its place: version, size and dependencies.
    theirs = Package("greet", "1:1.2-1", {"Depends": "hello", "Installed-Size": shop.read(tree, "/size")})
    theirs.add("usr/bin/greet", "#!/bin/sh\necho theirs\n", 0o755)
    repository.publish(*source.tools(), theirs)
    shop = Workshop(create_store(str(tmp_path / "store"), "copy"), shop.folder, repository)
    tree = shop.make(f'[[step]]\napt = ["greet"]\n{step}{RUN}')
    assert shop.read(tree, "/said").startswith("hello from package\n")
    assert [name.partition(":")[0] for name in tree.steps[-2]["made"]["packages"]] == ["greet"]


def test_signed(shop: Workshop, tmp_path: Path) -> None:
    dsc = source.source(shop.folder)
    step = '[[step]]\n[step.package]\nfile = "greet_1.2-1.dsc"\nkeyring = "mine.asc"\n'
    (shop.folder / "mine.asc").write_bytes(shop.debian.key.export_text())
    assert "gpgv greet_1.2-1.dsc failed" in failing(shop, step).brief
    shop.debian.key.clearsign(dsc)
    assert shop.make(step).steps[-1]["made"]["built"]
    dsc.write_text(dsc.read_text().replace("misc", "text", 1))
    error = failing(shop, step)
    assert "gpgv greet_1.2-1.dsc failed" in error.brief and "BAD signature" in error.details


def test_tampered_with(shop: Workshop, tmp_path: Path) -> None:
    source.source(shop.folder)
    (shop.folder / "greet_1.2.orig.tar.gz").write_bytes(b"evil")
    error = failing(shop, '[[step]]\npackage = { file = "greet_1.2-1.dsc" }\n')
    assert "dpkg-source --extract greet_1.2-1.dsc failed" in error.brief and "greet_1.2.orig.tar.gz" in error.details
    repository = shop.debian.copy(tmp_path / "repo")
    other = Workshop(create_store(str(tmp_path / "store"), "overlay"), shop.folder, repository)
    for name in ("greet_1.2.orig.tar.gz", "greet_1.2-1.dsc"):
        path = repository.folder / "pool" / name
        good = path.read_bytes()
        path.write_bytes(good.replace(b"misc", b"evil") if name.endswith("dsc") else good[:-1] + b"!")
        error = failing(other, STEP)
        assert name in error.details, error
        path.write_bytes(good)
    assert other.make(STEP).steps[-1]["made"]["built"]


def test_what_cannot_be_built(shop: Workshop, repository: Debian, tmp_path: Path) -> None:
    (shop.folder / "wrong.patch").write_text(source.PATCH.replace("-echo hello", "-echo nothing like it"))
    error = failing(shop, f'{STEP}patches = ["wrong.patch"]\n')
    assert "patch wrong.patch failed" in error.brief and "FAILED" in error.details
    assert "Unable to find a source package" in failing(shop, STEP.replace("greet", "nosuch")).details
    error = failing(shop, f'{STEP}packages = ["greet", "greet-gtk"]\n')
    assert "no package greet-gtk was built" in error.brief and "greet, greet-doc" in error.details
    source.source(shop.folder, depends="nothere")
    error = failing(shop, '[[step]]\npackage = { file = "greet-1.2" }\n')
    assert "apt-get build-dep" in error.brief and "nothere" in error.details
    broken = shop.folder / "broken"
    broken.mkdir()
    source.source(broken, {"debian/rules": "#!/usr/bin/make -f\n%:\n\techo no way to build this >&2; false\n"})
    error = failing(shop, '[[step]]\npackage = { file = "broken/greet-1.2" }\n')
    assert "dpkg-buildpackage failed" in error.brief and "no way to build this" in error.details


def test_a_tree_without_dpkg(shop: Workshop) -> None:
    (shop.folder / "empty").mkdir()
    path = shop.write('[[step]]\ncopy = { from = "empty", to = "/" }\n[[step]]\npackage = "greet"\n', "bare")
    with pytest.raises(Error, match="the tree has no dpkg"):
        shop.build(path)


def test_locked(tmp_path: Path, repository: Debian, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")
    both = Elsewhere(tmp_path, repository)
    both.here.base()
    (both.here.folder / "greet.patch").write_text(source.PATCH)
    path = both.here.write(f'from = "./base-auto.toml"\n{STEP}patches = ["greet.patch"]\n{RUN}', "app")
    first = both.here.build(path)
    both.lock(path)
    # Newer ones of what it is made of, which nobody asks for.
    (tmp_path / "newer").mkdir()
    for name in ("greet_1.2.orig.tar.gz", "greet_1.2-1.debian.tar.xz", "greet_1.2-1.dsc"):
        (both.repository.folder / "pool" / name).rename(tmp_path / "newer" / name)
    both.repository.publish(*source.tools(), hello("2.0"))
    with pytest.raises(Error, match=r"greet_1.2-1.*, as it was locked, is nowhere to be had"):
        both.again(path)
    for path_of in (tmp_path / "newer").iterdir():
        path_of.rename(both.repository.folder / "pool" / path_of.name)
    tree = both.twice(path)
    assert both.here.read(tree, "/said").startswith("patched, from package\n")
    assert tree.steps[-2]["made"] == first.steps[-2]["made"]
    assert not both.dated(tree)
    lock = path.with_suffix(".lock")
    (digest,) = first.steps[-2]["made"]["built"].values()
    lock.write_text(lock.read_text().replace(digest, f"sha256:{0:064}"))
    with pytest.raises(Error, match="made something else than what was locked") as caught:
        both.again(path)
    assert "greet:" in caught.value.details and "without --locked" in caught.value.hint
