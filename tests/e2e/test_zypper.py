"""zypper into an empty root and into a tree, from signed repositories that need no network; and what can go wrong."""

from pathlib import Path

import filesystems
import pytest
from offline import deb, rpm
from offline.rpm import Fedora, fedora
from shop import Shop

from treesmith.errors import UsageError
from treesmith.store import create_store

BASE = '"busybox", "fedora-release"'


@pytest.fixture
def repository(tmp_path: Path) -> Fedora:
    return fedora().copy(tmp_path / "repo")


@pytest.fixture
def shop(tmp_path: Path, repository: Fedora) -> Shop:
    store = create_store(str(tmp_path / "store"), "overlay")
    return Shop(store, tmp_path, "zypper", mirror=str(repository.folder), keyring=str(repository.keyring))


def test_a_base_and_packages_into_it(shop: Shop) -> None:
    more = '\n[[step]]\nzypper = ["hello"]\n\n[[step]]\nrun = "hello >/said; rm /etc/hello.conf"\n'
    tree = shop.build(shop.write(BASE, more=more))
    base, hello, _ = tree.steps
    assert {name.partition(".")[0] for name in base["made"]["packages"]} == {
        "busybox", "fedora-release", "filesystem", "setup",
    }  # fmt: skip
    assert hello["made"]["packages"] == {"hello.noarch": "1.0-1"}
    assert base["pinned"] and hello["pinned"] and base["made"]["driver"].startswith("zypper")
    there = shop.look(tree)
    assert there["said"] == "file" and there["var/lib/hello.post"] == "file" and there["bin"] == "link"
    assert there["etc/pki/rpm-gpg/RPM-GPG-KEY-treesmith"] == there["etc/zypp/repos.d/treesmith.repo"] == "file"
    left = ("var/cache/", "var/log/", "var/tmp/", "run/", "tmp/")
    assert not [path for path in there if path.startswith(left) or path.endswith(("-wal", "-shm"))]
    shop.build(shop.folder / "base.toml")
    assert shop.plan and not shop.plan.to_make


def test_a_mirror_that_moved_on_is_noticed(shop: Shop, repository: Fedora) -> None:
    path = shop.write(f'{BASE}, "hello"')
    shop.build(path)
    (repository.folder / "hello-1.0-1.noarch.rpm").unlink()
    repository.index()
    repository.sign()
    assert "No provider of 'hello' found" in shop.fails(path).details
    shop.build(shop.write(BASE))
    assert shop.plan and "mirror.lists" in shop.plan.to_make[0].reason


@pytest.mark.parametrize(
    ("package", "status", "says"),
    [
        ("nosuch", 104, "No provider of 'nosuch' found."),
        ("unmet", 4, "nothing provides libnothere.so.9 needed by unmet-1.0-1.noarch"),
        ("badpost", 107, "%post(badpost-1.0-1.noarch) scriptlet failed, exit status 3"),
        ("badpre", 8, "%prein(badpre-1.0-1.noarch) scriptlet failed, exit status 4"),
        ("conflict", 8, "/etc/hello.conf"),
    ],
)
def test_packages_that_cannot_be_installed(shop: Shop, package: str, status: int, says: str) -> None:
    error = shop.fails(shop.write(f'{BASE}, "hello", "{package}"'))
    assert error.brief == f"base: step 1: zypper: zypper install failed with status {status}"
    assert says in error.details + "\n".join(shop.heard.lines) and "the whole log: " in error.hint


def test_a_package_that_was_tampered_with(shop: Shop, repository: Fedora) -> None:
    """Against the list of contents; with a list that was made to fit, unsigned; and with one whose signature is of the
    list before.
    """
    path = next(repository.folder.glob("busybox-*.rpm"))
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    said = shop.fails(shop.write(BASE))
    assert "zypper install failed" in said.brief and "Digest verification failed" in "\n".join(shop.heard.lines)
    signature = repository.folder / "repodata/repomd.xml.asc"
    old = signature.read_bytes()
    repository.index()
    shop.fails(shop.write(BASE))
    assert "Signature verification failed for repomd.xml" in "\n".join(shop.heard.lines)
    signature.write_bytes(old)
    shop.fails(shop.write(BASE))
    assert "Signature verification failed" in "\n".join(shop.heard.lines)


def test_another_key(shop: Shop, repository: Fedora, tmp_path: Path) -> None:
    """Also where the mirror itself hands out the key that it was signed with."""
    (tmp_path / "other.asc").write_bytes(deb.Key(tmp_path / "gpg").export_text())
    for handed in (False, True):
        if handed:
            (repository.folder / "repodata/repomd.xml.key").write_bytes(repository.keyring.read_bytes())
        error = shop.fails(shop.write(BASE, keyring=str(tmp_path / "other.asc")))
        assert "zypper install failed" in error.brief
        assert "Signature verification failed for repomd.xml" in "\n".join(shop.heard.lines)
    with pytest.raises(UsageError, match="needs a keyring"):
        shop.build(shop.write(BASE, keyring=""))
    assert shop.build(shop.write(BASE, more="trust = true\n", keyring="")).steps[0]["made"]["packages"]


def test_a_source_that_is_not_there(shop: Shop) -> None:
    error = shop.fails(shop.write(BASE, mirror="http://127.0.0.1:9/repo"))
    assert "Failed to connect to 127.0.0.1 port 9" in error.details
    assert "zypper install failed with status 104" in error.brief
    assert "no packages in /nowhere" in shop.fails(shop.write(BASE, mirror="/nowhere")).brief
    assert "zypper has no source" in shop.fails(shop.write(BASE, mirror="", keyring="")).brief


def test_a_vendors_packages(shop: Shop, tmp_path: Path) -> None:
    """A second source, with its own key, is there for the step that names it and those after it."""
    vendor = rpm.vendor(tmp_path / "vendor")
    step = f'\n[[step]]\n[step.zypper]\npackages = []\nmirror = "{vendor.folder}"\nkeyring = "KEY"\n'
    more = step + '\n[[step]]\nzypper = ["extra", "hello"]\n'
    tree = shop.build(shop.write(BASE, more=more.replace("KEY", str(vendor.keyring))))
    assert tree.steps[2]["made"]["packages"] == {"extra.noarch": "1.0-1", "hello.noarch": "1.0-1"}
    assert tree.steps[2]["pinned"] and shop.look(tree)["etc/zypp/repos.d/treesmith-2.repo"] == "file"
    shop.fails(shop.write(BASE, more=more.replace("KEY", shop.options["keyring"])))
    assert "Signature verification failed for repomd.xml" in "\n".join(shop.heard.lines)


def test_a_full_disk(tmp_path: Path, repository: Fedora) -> None:
    with filesystems.ext4(tmp_path, 3 * filesystems.MIB) as mounted:
        store = create_store(str(mounted / "store"), "copy")
        shop = Shop(store, tmp_path, "zypper", mirror=str(repository.folder), keyring=str(repository.keyring))
        error = shop.fails(shop.write(BASE))
        assert "zypper install failed" in error.brief and "more space on the / filesystem" in error.details
