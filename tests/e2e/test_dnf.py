"""dnf into an empty root and into a tree, from a signed repository that needs no network; and all that can go wrong."""

import gzip
import os
from pathlib import Path

import pytest
from offline import deb, rpm
from offline.rpm import Fedora, fedora
from workshop import Heard

from treesmith.archive.read import read
from treesmith.build import build
from treesmith.compare.walk import walk
from treesmith.errors import Error, UsageError
from treesmith.plan import Plan, Wish
from treesmith.store import Store, Tree, create_store


@pytest.fixture(scope="session")
def repository() -> Fedora:
    return fedora()


class Shop:
    def __init__(self, store: Store, folder: Path, fedora: Fedora) -> None:
        self.store, self.folder, self.fedora = store, folder, fedora
        self.plan: Plan | None = None
        self.heard = Heard()

    def write(
        self, packages: str = '"busybox", "fedora-release"', more: str = "", name: str = "base", **other: str
    ) -> Path:
        options = {"mirror": str(self.fedora.folder), "keyring": str(self.fedora.keyring), "release": "40", **other}
        lines = "".join(f'{key} = "{value}"\n' for key, value in options.items() if value)
        path = self.folder / "base.toml"
        path.write_text(f"[[step]]\n[step.dnf]\npackages = [{packages}]\n{lines}{more}")
        return path

    def build(self, path: Path) -> Tree:
        self.heard = Heard()
        tree, self.plan = build(self.store, str(path), self.heard, wish=Wish(replace=True))
        return tree

    def look(self, tree: Tree) -> tuple[dict[str, str], int]:
        view = self.store.backend.open(tree, "ro")
        root = view.mount()
        try:
            return {entry.path: entry.type for entry in walk(root, content=False)}, len(read(root, "usr/bin/busybox"))
        finally:
            os.close(root)
            view.close()


@pytest.fixture
def shop(tmp_path: Path, repository: Fedora) -> Shop:
    return Shop(create_store(str(tmp_path / "store"), "overlay"), tmp_path, repository.copy(tmp_path / "repo"))


HELLO = '\n[[step]]\ndnf = ["hello"]\n\n[[step]]\nrun = "hello >/said; rm /etc/hello.conf"\n'


def test_a_base_and_packages_into_it(shop: Shop) -> None:
    tree = shop.build(shop.write(more=HELLO))
    base, hello, _ = tree.steps
    assert base["made"]["packages"].keys() == {
        "busybox.x86_64", "fedora-release.noarch", "filesystem.x86_64", "setup.noarch",
    } or "busybox.aarch64" in base["made"]["packages"]  # fmt: skip
    assert hello["made"]["packages"] == {"hello.noarch": "1.0-1"}
    assert base["pinned"] and hello["pinned"] and base["made"]["driver"].startswith("dnf")
    there, size = shop.look(tree)
    assert there["usr/lib/os-release"] == "file" and there["bin"] == "link" and size > 100_000
    assert there["said"] == "file" and there["var/lib/hello.post"] == "file"
    assert (
        there["etc/pki/rpm-gpg/RPM-GPG-KEY-treesmith"] == "file" and there["etc/yum.repos.d/treesmith.repo"] == "file"
    )
    left = [path for path in there if path.startswith(("var/cache/", "var/log/", "var/lib/dnf", "run/", "tmp/"))]
    assert not left and not [path for path in there if path.endswith(("-wal", "-shm")) or ".rpmdb" in path]
    assert list(Path(shop.store.path, "cache").rglob("dnf-*/dnf/*/repodata/*"))
    shop.build(shop.folder / "base.toml")
    assert shop.plan and not shop.plan.to_make


def test_a_mirror_that_moved_on_is_noticed(shop: Shop) -> None:
    path = shop.write()
    shop.build(path)
    (shop.fedora.folder / "unmet-1.0-1.noarch.rpm").unlink()
    rpm.index(shop.fedora.folder)
    shop.build(path)
    assert shop.plan and "repodata.used" in shop.plan.to_make[0].reason


@pytest.mark.parametrize(
    ("package", "says"),
    [
        ("nosuch", "Unable to find a match: nosuch"),
        ("unmet", "nothing provides libnothere.so.9"),
        ("badpost", "%post(badpost-1.0-1.noarch) scriptlet failed, exit status 3"),
        ("badpre", "%prein(badpre-1.0-1.noarch) scriptlet failed, exit status 4"),
        ("conflict", "conflicts"),
    ],
)
def test_packages_that_cannot_be_installed(shop: Shop, package: str, says: str) -> None:
    with pytest.raises(Error) as caught:
        shop.build(shop.write(f'"busybox", "fedora-release", "hello", "{package}"'))
    assert caught.value.brief.startswith("base: step 1: dnf: dnf install failed")
    assert says in "\n".join(shop.heard.lines) and "the whole log: " in caught.value.hint
    if package == "badpost":
        assert "though it ended with status 0" in caught.value.brief and says in caught.value.details
    assert not shop.store.names() and not list(Path(shop.store.path, "staging").iterdir())


def test_a_package_that_was_tampered_with(shop: Shop) -> None:
    """Once against the list of contents, once with a list that was made to fit."""
    path = next(shop.fedora.folder.glob("busybox-*.rpm"))
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(Error) as caught:
        shop.build(shop.write())
    assert "dnf install failed" in caught.value.brief
    rpm.index(shop.fedora.folder)
    with pytest.raises(Error) as caught:
        shop.build(shop.write())
    assert "dnf install failed" in caught.value.brief
    assert not shop.store.names()


def test_another_key(shop: Shop, tmp_path: Path) -> None:
    other = deb.Key(tmp_path / "gpg")
    (tmp_path / "other.asc").write_bytes(other.export_text())
    with pytest.raises(Error) as caught:
        shop.build(shop.write(keyring=str(tmp_path / "other.asc")))
    assert "is not installed" in "\n".join(shop.heard.lines) or "GPG" in caught.value.details
    with pytest.raises(UsageError, match="needs a keyring"):
        shop.build(shop.write(keyring=""))
    trusting = shop.write(more="trust = true\n", keyring="")
    assert shop.build(trusting).steps[0]["made"]["packages"]


def test_a_source_that_is_not_there(shop: Shop) -> None:
    with pytest.raises(Error) as caught:
        shop.build(shop.write(mirror="http://127.0.0.1:9/repo"))
    assert "Failed to download metadata for repo 'treesmith'" in "\n".join(shop.heard.lines)
    assert "dnf install failed with status 1" in caught.value.brief
    with pytest.raises(UsageError, match="no packages in"):
        shop.build(shop.write(mirror="/nowhere"))
    with pytest.raises(UsageError, match="needs the release"):
        shop.build(shop.write(release=""))
    with pytest.raises(Error, match="dnf has no source"):
        shop.build(shop.write(mirror="", keyring="", release=""))


def test_a_list_of_contents_that_is_broken(shop: Shop) -> None:
    for path in shop.fedora.folder.glob("repodata/*primary.xml.*"):
        path.write_bytes(gzip.compress(b"<metadata/>"))
    with pytest.raises(Error, match="dnf install failed with status 1"):
        shop.build(shop.write())
    assert not shop.store.names()


def test_the_shipped_recipe(shop: Shop) -> None:
    """fedora-base names packages that the repository here lacks: it is read, and says which."""
    sets = {"mirror": f"file://{shop.fedora.folder}", "keyring": str(shop.fedora.keyring)}
    with pytest.raises(Error) as caught:
        build(shop.store, "fedora-base", shop.heard, sets=sets)
    assert caught.value.brief.startswith("fedora-base: step 1: dnf: dnf install failed")
    assert "Unable to find a match: bash coreutils dnf glibc-minimal-langpack" in "\n".join(shop.heard.lines)
