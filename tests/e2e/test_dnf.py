"""dnf into an empty root and into a tree, from a signed repository that needs no network; and all that can go wrong."""

import gzip
from pathlib import Path

import filesystems
import pytest
from offline import deb, rpm
from offline.rpm import Fedora, fedora
from shop import Shop

from treesmith.build import build
from treesmith.errors import Error, UsageError
from treesmith.store import create_store

BASE = '"busybox", "fedora-release"'


@pytest.fixture
def repository(tmp_path: Path) -> Fedora:
    return fedora().copy(tmp_path / "repo")


@pytest.fixture
def shop(tmp_path: Path, repository: Fedora) -> Shop:
    store = create_store(str(tmp_path / "store"), "overlay")
    mirror, keyring = str(repository.folder), str(repository.keyring)
    return Shop(store, tmp_path, "dnf", mirror=mirror, keyring=keyring, release="40")


HELLO = '\n[[step]]\ndnf = ["hello"]\n\n[[step]]\nrun = "hello >/said; rm /etc/hello.conf"\n'


def test_a_base_and_packages_into_it(shop: Shop) -> None:
    tree = shop.build(shop.write(BASE, more=HELLO))
    base, hello, _ = tree.steps
    assert base["made"]["packages"].keys() == {
        "busybox.x86_64", "fedora-release.noarch", "filesystem.x86_64", "setup.noarch",
    } or "busybox.aarch64" in base["made"]["packages"]  # fmt: skip
    assert hello["made"]["packages"] == {"hello.noarch": "1.0-1"}
    assert base["pinned"] and hello["pinned"] and base["made"]["driver"].startswith("dnf")
    there = shop.look(tree)
    assert there["usr/lib/os-release"] == "file" and there["bin"] == "link"
    assert len(shop.read(tree, "usr/bin/busybox")) > 100_000
    assert there["said"] == "file" and there["var/lib/hello.post"] == "file"
    assert (
        there["etc/pki/rpm-gpg/RPM-GPG-KEY-treesmith"] == "file" and there["etc/yum.repos.d/treesmith.repo"] == "file"
    )
    left = [path for path in there if path.startswith(("var/cache/", "var/log/", "var/lib/dnf", "run/", "tmp/"))]
    assert not left and not [path for path in there if path.endswith(("-wal", "-shm")) or ".rpmdb" in path]
    assert list(Path(shop.store.path, "cache").rglob("dnf-*/dnf/*/repodata/*"))
    shop.build(shop.folder / "base.toml")
    assert shop.plan and not shop.plan.to_make


def test_a_mirror_that_moved_on_is_noticed(shop: Shop, repository: Fedora) -> None:
    path = shop.write(BASE)
    shop.build(path)
    (repository.folder / "unmet-1.0-1.noarch.rpm").unlink()
    repository.index()
    shop.build(path)
    assert shop.plan and "mirror.lists" in shop.plan.to_make[0].reason


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


def test_a_package_that_was_tampered_with(shop: Shop, repository: Fedora) -> None:
    """Once against the list of contents, once with a list that was made to fit."""
    path = next(repository.folder.glob("busybox-*.rpm"))
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(Error) as caught:
        shop.build(shop.write(BASE))
    assert "dnf install failed" in caught.value.brief
    repository.index()
    with pytest.raises(Error) as caught:
        shop.build(shop.write(BASE))
    assert "dnf install failed" in caught.value.brief
    assert not shop.store.names()


def test_another_key(shop: Shop, tmp_path: Path) -> None:
    other = deb.Key(tmp_path / "gpg")
    (tmp_path / "other.asc").write_bytes(other.export_text())
    with pytest.raises(Error) as caught:
        shop.build(shop.write(BASE, keyring=str(tmp_path / "other.asc")))
    assert "is not installed" in "\n".join(shop.heard.lines) or "GPG" in caught.value.details
    with pytest.raises(UsageError, match="needs a keyring"):
        shop.build(shop.write(BASE, keyring=""))
    trusting = shop.write(BASE, more="trust = true\n", keyring="")
    assert shop.build(trusting).steps[0]["made"]["packages"]


def test_a_source_that_is_not_there(shop: Shop) -> None:
    with pytest.raises(Error) as caught:
        shop.build(shop.write(BASE, mirror="http://127.0.0.1:9/repo"))
    assert "Failed to download metadata for repo 'treesmith'" in "\n".join(shop.heard.lines)
    assert "dnf install failed with status 1" in caught.value.brief
    with pytest.raises(UsageError, match="no packages in"):
        shop.build(shop.write(BASE, mirror="/nowhere"))
    with pytest.raises(UsageError, match="needs the release"):
        shop.build(shop.write(BASE, release=""))
    with pytest.raises(Error, match="dnf has no source"):
        shop.build(shop.write(BASE, mirror="", keyring="", release=""))


def test_a_list_of_contents_that_is_broken(shop: Shop, repository: Fedora) -> None:
    for path in repository.folder.glob("repodata/*primary.xml.*"):
        path.write_bytes(gzip.compress(b"<metadata/>"))
    with pytest.raises(Error, match="dnf install failed with status 1"):
        shop.build(shop.write(BASE))
    assert not shop.store.names()


def test_the_shipped_recipe(shop: Shop, repository: Fedora) -> None:
    """fedora-base names packages that the repository here lacks: it is read, and says which."""
    sets = {"mirror": f"file://{repository.folder}", "keyring": str(repository.keyring)}
    with pytest.raises(Error) as caught:
        build(shop.store, "fedora-base", shop.heard, sets=sets)
    assert caught.value.brief.startswith("fedora-base: step 1: dnf: dnf install failed")
    assert "Unable to find a match: bash coreutils dnf glibc-minimal-langpack" in "\n".join(shop.heard.lines)


def test_a_vendors_packages(shop: Shop, tmp_path: Path) -> None:
    """A second source, with its own key, is there for the step that names it and those after it."""
    vendor = rpm.vendor(tmp_path / "vendor")
    step = f'\n[[step]]\n[step.dnf]\npackages = ["extra"]\nmirror = "{vendor.folder}"\nkeyring = "KEY"\n'
    more = step + '\n[[step]]\ndnf = ["hello"]\n'
    tree = shop.build(shop.write(BASE, more=more.replace("KEY", str(vendor.keyring))))
    assert tree.steps[1]["made"]["packages"] == {"extra.noarch": "1.0-1"} and tree.steps[2]["pinned"]
    assert shop.look(tree)["etc/yum.repos.d/treesmith-2.repo"] == "file"
    error = shop.fails(shop.write(BASE, more=more.replace("KEY", shop.options["keyring"])))
    assert "step 2: dnf: dnf install failed" in error.brief
    assert "GPG check FAILED" in error.details
    error = shop.fails(shop.write(BASE, more='\n[[step]]\ndnf = { packages = ["hello"], trust = true }\n'))
    assert "trust is of a mirror, and none is named here" in error.brief


def test_a_key_that_the_tree_has_changed(shop: Shop, tmp_path: Path) -> None:
    """Nothing in the tree can say whose signatures are good."""
    for change in (": >", "rm ", "ln -sf /etc/passwd "):
        spoil = f'\n[[step]]\nrun = "{change}/etc/pki/rpm-gpg/RPM-GPG-KEY-treesmith"\n'
        error = shop.fails(shop.write(BASE, more=spoil + '\n[[step]]\ndnf = ["hello"]\n'))
        assert "RPM-GPG-KEY-treesmith in the tree is not the key that was named" in error.brief


def test_a_file_is_no_package(shop: Shop) -> None:
    """Its signature would not be looked at."""
    for name in ("/tmp/x.rpm", "http://127.0.0.1:9/x", "x.rpm"):
        assert "is a file, not a package" in shop.fails(shop.write(f'{BASE}, "{name}"')).brief


def test_a_full_disk(tmp_path: Path, shop: Shop) -> None:
    with filesystems.ext4(tmp_path, 3 * filesystems.MIB) as mounted:
        shop.store = create_store(str(mounted / "store"), "copy")
        error = shop.fails(shop.write(BASE))
        assert "dnf install failed" in error.brief and "more space on the / filesystem" in error.details
