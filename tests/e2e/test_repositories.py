"""Sources that a recipe adds to a Debian: backports, a vendor's, a PPA, each with its own key; and old lists."""

from collections.abc import Iterator
from pathlib import Path

import filesystems
import pytest
from offline import deb
from offline.debian import ARCHITECTURE, Debian, debian, hello
from workshop import Workshop

from treesmith.errors import Error
from treesmith.store import create_store

AGO = {"Valid-Until": "Wed, 15 Nov 2023 22:13:20 UTC"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the tests here share, so that the base is made once."""
    path = tmp_path_factory.mktemp("repositories") / "store"
    create_store(str(path), "overlay")
    return path


@pytest.fixture
def shop(kept: Path, tmp_path: Path) -> Workshop:
    return Workshop(create_store(str(kept)), tmp_path / "recipes", debian())


@pytest.fixture
def vendor(shop: Workshop) -> Debian:
    """A repository of a newer hello and a program of its own."""
    key = deb.Key(shop.folder / "gpg")
    key.export(shop.folder / "vendor.gpg")
    (shop.folder / "vendor.asc").write_bytes(key.export_text())
    extra = deb.Package("extra", fields={"Depends": "hello"})
    deb.repository(shop.folder / "vendor", [hello("2.0"), extra], "stable", ARCHITECTURE, key)
    return Debian(shop.folder / "vendor", shop.folder / "vendor.gpg", key)


def named(packages: str, keyring: str = "vendor.gpg", more: str = "") -> str:
    key = f'keyring = "{keyring}"\n' if keyring else ""
    return f'[[step]]\n[step.apt]\npackages = [{packages}]\nmirror = "vendor"\nsuite = "stable"\n{key}{more}'


def failing(shop: Workshop, steps: str) -> Error:
    with pytest.raises(Error) as caught:
        shop.make(steps, "fails")
    assert "fails" not in shop.store.names() and not shop.staged()
    return caught.value


@pytest.mark.parametrize("keyring", ["vendor.gpg", "vendor.asc"])
def test_a_vendors_packages(shop: Workshop, vendor: Debian, keyring: str) -> None:
    """For the step that names the source and those after it."""
    tree = shop.make(named('"extra"', keyring) + '[[step]]\napt = ["daemon"]\n[[step]]\nrun = "hello >/said"\n')
    assert tree.steps[1]["made"]["packages"] == {f"extra:{ARCHITECTURE}": "1", f"hello:{ARCHITECTURE}": "2.0"}
    assert shop.read(tree, "/said") == "hello from conf of 2.0\n" and tree.steps[2]["pinned"]
    path = f"etc/apt/keyrings/treesmith.{keyring[-3:]}"
    lines = f"deb [signed-by=/{path}] file://{vendor.folder} stable main\n"
    assert shop.read(tree, "etc/apt/sources.list.d/treesmith.list") == lines
    shop.make(named('"extra"', keyring) + '[[step]]\napt = ["daemon"]\n[[step]]\nrun = "hello >/said"\n')
    assert set(shop.verbs()) == {"keep"}
    deb.repository(vendor.folder, [hello("3.0")], "stable", ARCHITECTURE, vendor.key)
    assert "Unable to locate package extra" in failing(shop, named('"extra"', keyring)).details


def test_two_sources_and_a_folder_of_packages(shop: Workshop, vendor: Debian) -> None:
    """A flat repository, whose suite is a folder."""
    second = named('"hello"').replace('"stable"', '"./"').replace('"vendor"', '"flat"')
    deb.flat(shop.folder / "flat", [hello("4.0")], ARCHITECTURE, vendor.key)
    tree = shop.make(named("") + second)
    assert shop.read(tree, "/etc/hello.conf") == "conf of 4.0\n" and tree.steps[2]["pinned"]
    assert shop.read(tree, "etc/apt/sources.list.d/treesmith-2.list").endswith(f"file://{shop.folder}/flat ./\n")


def test_each_source_has_its_own_key(shop: Workshop, vendor: Debian) -> None:
    """Neither does the base's key serve for the vendor, nor is any key good without being named."""
    for keyring in (str(shop.debian.keyring), ""):
        error = failing(shop, named('"extra"', keyring))
        assert "step 1: apt: apt-get update failed" in error.brief and "NO_PUBKEY" in error.details
    tree = shop.make(named('"extra"', "", "trust = true\n"))
    assert "[trusted=yes]" in shop.read(tree, "etc/apt/sources.list.d/treesmith.list")
    evil = deb.Key(shop.folder / "evil")
    deb.repository(shop.folder / "evil-mirror", [hello("9.0")], "stable", ARCHITECTURE, evil)
    theirs = named('"hello"', str(shop.debian.keyring)).replace('"vendor"', '"evil-mirror"')
    assert "NO_PUBKEY" in failing(shop, named("") + theirs).details


def test_sources_that_are_not_what_they_were(shop: Workshop, vendor: Debian) -> None:
    package = next(vendor.folder.glob("pool/extra_*"))
    data = bytearray(package.read_bytes())
    data[-20] ^= 1
    package.write_bytes(data)
    error = failing(shop, named('"extra"'))
    assert "apt-get install extra failed" in error.brief and "Hash Sum mismatch" in error.details
    lists = vendor.folder / f"dists/stable/main/binary-{ARCHITECTURE}/Packages"
    lists.write_text(lists.read_text().replace("extra", "extry"))
    (lists.parent / "Packages.gz").unlink()
    assert "apt-get update failed" in failing(shop, named('"extra"')).brief
    unreachable = named('"extra"').replace('"vendor"', '"http://127.0.0.1:9/"')
    assert "Could not connect to 127.0.0.1:9" in failing(shop, unreachable).details
    assert "no suite unstable" in failing(shop, named("").replace('"stable"', '"unstable"')).brief


def test_lists_that_are_past_their_date(shop: Workshop, vendor: Debian) -> None:
    """A snapshot's are, and that may be said for it alone."""
    deb.repository(vendor.folder, [hello("2.0")], "stable", ARCHITECTURE, vendor.key, AGO)
    assert "Release file for file:" in failing(shop, named('"hello"')).details
    tree = shop.make(named('"hello"', more="expired = true\n"))
    assert "check-valid-until=no" in shop.read(tree, "etc/apt/sources.list.d/treesmith.list")


@pytest.fixture
def snapshot(tmp_path: Path) -> Iterator[Workshop]:
    """A workshop whose mirror is past its date."""
    copy = debian().copy(tmp_path / "repo")
    shop = Workshop(create_store(str(tmp_path / "store"), "overlay"), tmp_path / "recipes", copy)
    copy.publish(fields=AGO)
    return shop


def test_a_base_that_is_past_its_date(snapshot: Workshop) -> None:
    with pytest.raises(Error) as caught:
        snapshot.build(snapshot.base("mmdebstrap"))
    assert "is expired" in caught.value.details
    for driver in ("debootstrap", "mmdebstrap"):
        base = snapshot.base(driver, "expired = true\n")
        path = snapshot.write(f'from = "./{base.name}"\n[[step]]\napt = ["hello"]\n')
        tree = snapshot.build(path)
        assert snapshot.read(tree, "/etc/apt/sources.list").startswith("deb [check-valid-until=no signed-by=")


@pytest.mark.parametrize("driver", ["debootstrap", "mmdebstrap"])
def test_a_full_disk(tmp_path: Path, driver: str) -> None:
    with filesystems.ext4(tmp_path, 16 * filesystems.MIB) as mounted:
        shop = Workshop(create_store(str(mounted / "store"), "copy"), tmp_path / "recipes", debian())
        with pytest.raises(Error) as caught:
            shop.build(shop.base(driver))
        assert f"debootstrap: {driver} failed" in caught.value.brief and not shop.staged()
        assert f"{shop.store.path}: only " in caught.value.hint


def test_a_disk_that_apt_fills(tmp_path: Path) -> None:
    with filesystems.ext4(tmp_path, 144 * filesystems.MIB) as mounted:
        shop = Workshop(create_store(str(mounted / "store"), "overlay"), tmp_path / "recipes", debian())
        big = deb.Package("big")
        big.add("usr/share/big", b"x" * (128 * filesystems.MIB))
        deb.repository(shop.folder / "vendor", [big], "stable", ARCHITECTURE, shop.debian.key)
        error = failing(shop, named('"big"', str(shop.debian.keyring)))
        assert "apt-get install big failed" in error.brief and "No space left on device" in error.details
