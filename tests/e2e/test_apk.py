"""apk into an empty root and into a tree, from signed repositories that need no network; and what can go wrong.

Debian has no apk: whoever tests has one of apk-tools 3 in /usr/local/bin, or these tests are not run.
"""

import shutil
from pathlib import Path

import filesystems
import pytest
from offline.apk import Alpine, Package, alpine
from shop import Shop

from treesmith.errors import UsageError
from treesmith.store import create_store

BASE = '"busybox"'
needs_apk = pytest.mark.skipif(not shutil.which("apk"), reason="there is no apk, and Debian has no package of it")


@pytest.fixture
def repository(tmp_path: Path) -> Alpine:
    return alpine(tmp_path / "alpine")


@pytest.fixture
def shop(tmp_path: Path, repository: Alpine) -> Shop:
    store = create_store(str(tmp_path / "store"), "overlay")
    return Shop(store, tmp_path, "apk", mirror=str(repository.index), keyring=str(repository.keyring))


@pytest.mark.skipif(bool(shutil.which("apk")), reason="there is an apk")
def test_without_an_apk(tmp_path: Path) -> None:
    shop = Shop(create_store(str(tmp_path / "store"), "overlay"), tmp_path, "apk", mirror="http://x", trust="yes")
    error = shop.fails(shop.write(BASE, trust="", more="trust = true\n"))
    assert "apk is not installed" in error.brief and "Debian has no package of it" in error.hint


@needs_apk
def test_a_base_and_packages_into_it(shop: Shop) -> None:
    more = '\n[[step]]\napk = ["hello"]\n\n[[step]]\nrun = "hello >/said; rm /etc/hello.conf"\n'
    tree = shop.build(shop.write(BASE, more=more))
    base, hello, _ = tree.steps
    assert base["made"]["packages"] == {"baselayout": "1.0-r0", "busybox": "1.0-r0"}
    assert hello["made"]["packages"] == {"hello": "1.0-r0"} and base["pinned"] and hello["pinned"]
    there = shop.look(tree)
    assert there["said"] == there["var/hello.post"] == there["etc/apk/keys/test.rsa.pub"] == "file"
    assert shop.read(tree, "said") == b"hello from conf\n"
    assert shop.read(tree, "etc/apk/repositories").decode() == f"file://{shop.options['mirror']}\n"
    assert not [path for path in there if path.startswith(("var/cache/", "var/log/", "run/", "tmp/"))]
    shop.build(shop.folder / "base.toml")
    assert shop.plan and not shop.plan.to_make


@needs_apk
def test_a_mirror_that_moved_on_is_noticed(shop: Shop, repository: Alpine) -> None:
    path = shop.write('"hello"')
    shop.build(path)
    repository.publish(Package("hello", {"etc/hello.conf": "new\n"}, "busybox", version="2.0-r0"))
    tree = shop.build(path)
    assert shop.plan and "mirror.lists" in shop.plan.to_make[0].reason
    assert tree.steps[0]["made"]["packages"]["hello"] == "2.0-r0"


@needs_apk
@pytest.mark.parametrize(
    ("package", "says"),
    [
        ("nosuch", "nosuch (no such package)"),
        ("unmet", "nothere (no such package)"),
        ("badpost", "exited with error 3"),
        ("conflict", "trying to overwrite etc/hello.conf owned by hello-1.0-r0"),
    ],
)
def test_packages_that_cannot_be_installed(shop: Shop, package: str, says: str) -> None:
    error = shop.fails(shop.write(f'{BASE}, "hello", "{package}"'))
    assert error.brief.startswith("base: step 1: apk: apk add failed with status ")
    assert says in error.details and "the whole log: " in error.hint


@needs_apk
def test_signatures(shop: Shop, repository: Alpine, tmp_path: Path) -> None:
    """Of a list, and of a package against its list; with another key; with none."""
    other = alpine(tmp_path / "other", "other", ())
    assert "UNTRUSTED signature" in shop.fails(shop.write(BASE, keyring=str(other.keyring))).details
    path = next(repository.folder.glob("busybox-*"))
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    assert "apk add failed" in shop.fails(shop.write(BASE)).brief
    repository.publish(*(Package(name, version="3.0-r0") for name in ("baselayout", "busybox")), signed=False)
    assert "UNTRUSTED signature" in shop.fails(shop.write(BASE)).details
    with pytest.raises(UsageError, match="needs a keyring"):
        shop.build(shop.write(BASE, keyring=""))
    tree = shop.build(shop.write(BASE, more="trust = true\n", keyring=""))
    assert tree.steps[0]["made"]["packages"]["busybox"] == "3.0-r0"
    step = f'\n[[step]]\n[step.apk]\npackages = []\nmirror = "{other.index}"\nkeyring = "{other.keyring}"\n'
    error = shop.fails(shop.write(BASE, more=f"trust = true\n{step}", keyring=""))
    assert "all its sources or of none" in error.brief


@needs_apk
def test_a_vendors_packages(shop: Shop, tmp_path: Path) -> None:
    """A second source, with its own key, is there for the step that names it and those after it. What a package does to
    the keys in the tree is not trusted."""
    vendor = alpine(tmp_path / "vendor", "vendor", (Package("extra", {"etc/extra": "x"}, "busybox"),))
    keys = tmp_path / "keys"
    keys.mkdir()
    shutil.copy(vendor.keyring, keys)
    step = f'\n[[step]]\n[step.apk]\npackages = []\nmirror = "{vendor.index}"\nkeyring = "keys"\n'
    more = step + 'SPOIL\n[[step]]\napk = ["extra", "hello"]\n'
    tree = shop.build(shop.write(BASE, more=more.replace("SPOIL", "")))
    assert tree.steps[2]["made"]["packages"] == {"extra": "1.0-r0", "hello": "1.0-r0"} and tree.steps[2]["pinned"]
    spoil = '\n[[step]]\nrun = "echo >>/etc/apk/keys/vendor.rsa.pub"\n'
    error = shop.fails(shop.write(BASE, more=more.replace("SPOIL", spoil)))
    assert "etc/apk/keys/vendor.rsa.pub in the tree is not the key that was named" in error.brief


@needs_apk
def test_a_source_that_is_not_there(shop: Shop) -> None:
    assert "apk add failed" in shop.fails(shop.write(BASE, mirror="http://127.0.0.1:9/repo")).brief
    assert "no packages in /nowhere/main" in shop.fails(shop.write(BASE, mirror="/nowhere")).brief
    assert "apk has no source" in shop.fails(shop.write(BASE, mirror="", keyring="")).brief
    assert "is a file" in shop.fails(shop.write('"./x.apk"')).brief


@needs_apk
def test_a_full_disk(tmp_path: Path, repository: Alpine) -> None:
    with filesystems.ext4(tmp_path, 3 * filesystems.MIB) as mounted:
        store = create_store(str(mounted / "store"), "copy")
        shop = Shop(store, tmp_path, "apk", mirror=str(repository.index), keyring=str(repository.keyring))
        error = shop.fails(shop.write(BASE))
        assert "apk add failed" in error.brief and "No space left on device" in error.details
