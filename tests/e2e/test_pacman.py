"""pacman into an empty root and into a tree, from a signed repository that needs no network; and what can go wrong."""

import re
import shutil
import subprocess
from pathlib import Path

import filesystems
import pytest
from offline import arch as arches
from offline import deb
from offline.arch import Arch, arch
from shop import Shop

from treesmith.build import build
from treesmith.errors import Error, UsageError
from treesmith.store import create_store

BASE = '"busybox"'


@pytest.fixture
def repository(tmp_path: Path) -> Arch:
    return arch().copy(tmp_path / "repo")


@pytest.fixture
def shop(tmp_path: Path, repository: Arch) -> Shop:
    store = create_store(str(tmp_path / "store"), "overlay")
    mirror, keyring = str(repository.folder), str(repository.keyring)
    return Shop(store, tmp_path, "pacman", mirror=mirror, keyring=keyring, repositories='["core"]')


def test_a_base_and_packages_into_it(shop: Shop) -> None:
    more = '\n[[step]]\npacman = ["hello"]\n\n[[step]]\nrun = "hello >/said; rm /etc/hello.conf"\n'
    tree = shop.build(shop.write(BASE, more=more))
    base, hello, _ = tree.steps
    assert base["made"]["packages"] == {"busybox": "1.0-1", "filesystem": "1.0-1"}
    assert hello["made"]["packages"] == {"hello": "1.0-1"} and base["pinned"] and hello["pinned"]
    there = shop.look(tree)
    assert there["said"] == "file" and there["var/hello.post"] == "file" and there["bin"] == "link"
    assert there["etc/pacman.d/treesmith.gpg"] == "file"
    assert not [path for path in there if path.startswith(("var/cache/", "var/log/", "var/lib/pacman/sync", "run/"))]
    assert not list(Path(shop.store.path, "cache").glob("pacman-*/step"))
    shop.build(shop.folder / "base.toml")
    assert shop.plan and not shop.plan.to_make


@pytest.mark.parametrize(
    ("package", "says"),
    [
        ("nosuch", "error: target not found: nosuch"),
        ("unmet", "unable to satisfy dependency 'nothere' required by unmet"),
        ("badpost", "error: command failed to execute correctly"),
        ("conflict", "exists in both"),
    ],
)
def test_packages_that_cannot_be_installed(shop: Shop, package: str, says: str) -> None:
    with pytest.raises(Error) as caught:
        shop.build(shop.write(f'"busybox", "hello", "{package}"'))
    assert caught.value.brief.startswith("base: step 1: pacman: pacman -Syu failed")
    assert says in caught.value.details and "the whole log: " in caught.value.hint
    assert ("though it ended with status 0" in caught.value.brief) == (package == "badpost")
    assert not shop.store.names() and not list(Path(shop.store.path, "staging").iterdir())


def test_a_package_that_was_tampered_with(shop: Shop, repository: Arch) -> None:
    """Once against the list of contents, once with a list that was made to fit."""
    path = next(repository.folder.glob("busybox-*.zst"))
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(Error, match="pacman -Syu failed with status 1") as caught:
        shop.build(shop.write(BASE))
    assert "invalid or corrupted package" in caught.value.details
    repository.add(path)
    with pytest.raises(Error, match="pacman -Syu failed with status 1") as caught:
        shop.build(shop.write(BASE))
    assert "invalid or corrupted package (PGP signature)" in caught.value.details
    assert not shop.store.names()


def test_another_key_and_no_signature(shop: Shop, repository: Arch, tmp_path: Path) -> None:
    deb.Key(tmp_path / "gpg").export(tmp_path / "other.gpg")
    with pytest.raises(Error, match="pacman -Syu failed") as caught:
        shop.build(shop.write(BASE, keyring=str(tmp_path / "other.gpg")))
    assert "required key missing from keyring" in caught.value.details
    next(repository.folder.glob("busybox-*.sig")).unlink()
    repository.add(next(repository.folder.glob("busybox-*.zst")))
    with pytest.raises(Error, match="pacman -Syu failed") as caught:
        shop.build(shop.write(BASE))
    assert re.search(r"failed retrieving file 'busybox-1.0-1-.*.sig'", caught.value.details)
    with pytest.raises(UsageError, match="needs a keyring"):
        shop.build(shop.write(BASE, keyring=""))
    assert shop.build(shop.write(BASE, more="trust = true\n", keyring="")).steps[0]["made"]["packages"]


def test_a_key_that_was_revoked(shop: Shop, repository: Arch, tmp_path: Path) -> None:
    ours = tmp_path / "ours.gpg"
    shutil.copy(repository.keyring, ours)
    shop.build(shop.write(BASE, keyring="ours.gpg"))
    (tmp_path / "ours-revoked").write_text("0" * 40 + "\n" + fingerprint(ours).lower() + "\n")
    with pytest.raises(Error, match="pacman -Syu failed") as caught:
        shop.build(shop.write(BASE, keyring="ours.gpg"))
    assert "required key missing from keyring" in caught.value.details
    (tmp_path / "ours-revoked").write_text("# nobody\n" + "0" * 40 + "\n")
    tree = shop.build(shop.write(BASE, keyring="ours.gpg", more='\n[[step]]\npacman = ["hello"]\n'))
    assert shop.look(tree)["etc/pacman.d/treesmith-revoked"] == "file"
    (tmp_path / "ours-revoked").unlink()
    (tmp_path / "ours-revoked").symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match="leaves the recipe's folder"):
        shop.build(shop.write(BASE, keyring="ours.gpg"))


def test_whose_word_makes_a_key_good(shop: Shop, repository: Arch, tmp_path: Path) -> None:
    """The packager's key counts because a trusted one has signed it; who only is in the keyring vouches for nobody."""
    packager = fingerprint(repository.keyring)
    master, other = deb.Key(tmp_path / "master"), deb.Key(tmp_path / "other")
    master.vouch(repository.keyring, packager)
    master.export(tmp_path / "ours.gpg")
    other.export(tmp_path / "other.gpg")
    with (tmp_path / "ours.gpg").open("ab") as file:
        file.write((tmp_path / "other.gpg").read_bytes())
    more = '\n[[step]]\npacman = ["hello"]\n'
    for signer, level, good in ((other, 5, False), (master, 4, False), (master, 5, True)):
        (tmp_path / "ours-trusted").write_text(f"# who\n{signer.fingerprint()}:{level}:\n")
        if good:
            assert shop.build(shop.write(BASE, keyring="ours.gpg", more=more)).steps[1]["made"]["packages"]
            continue
        with pytest.raises(Error, match="pacman -Syu failed") as caught:
            shop.build(shop.write(BASE, keyring="ours.gpg"))
        assert "unknown trust" in caught.value.details or "marginal trust" in caught.value.details
    (tmp_path / "ours-trusted").write_text(f"{'0' * 40}:5:\n")
    with pytest.raises(Error, match="gpg failed"):
        shop.build(shop.write(BASE, keyring="ours.gpg"))


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("-trusted", "# nobody\n\n"),
        ("-trusted", "test\n"),
        ("-trusted", f"{'0' * 40}\n"),
        ("-revoked", "A\n"),
        ("-revoked", f"{'0' * 40}:4:\n"),
        ("-revoked", "--delete-secret-keys\n"),
    ],
)
def test_what_is_no_list_of_keys(shop: Shop, repository: Arch, tmp_path: Path, part: str, text: str) -> None:
    shutil.copy(repository.keyring, tmp_path / "ours.gpg")
    (tmp_path / f"ours{part}").write_text(text)
    with pytest.raises(UsageError, match=f"ours{part} is no list of keys"):
        shop.build(shop.write(BASE, keyring="ours.gpg"))
    (tmp_path / f"ours{part}").unlink()
    (tmp_path / f"ours{part}").mkdir()
    with pytest.raises(UsageError, match=f"ours{part} is not a file"):
        shop.build(shop.write(BASE, keyring="ours.gpg"))


def test_lists_of_keys_that_the_tree_has_changed(shop: Shop, repository: Arch, tmp_path: Path) -> None:
    shutil.copy(repository.keyring, tmp_path / "ours.gpg")
    (tmp_path / "ours-revoked").write_text("0" * 40 + "\n")
    for part in (".gpg", "-revoked"):
        spoil = f'\n[[step]]\nrun = ["/bin/sh", "-c", "echo >/etc/pacman.d/treesmith{part}"]\n'
        error = shop.fails(shop.write(BASE, keyring="ours.gpg", more=spoil + '\n[[step]]\npacman = ["hello"]\n'))
        assert f"etc/pacman.d/treesmith{part} in the tree is not the key that was named" in error.brief


def fingerprint(keyring: Path) -> str:
    said = subprocess.run(["gpg", "--show-keys", "--with-colons", str(keyring)], capture_output=True, check=True).stdout
    return next(line.split(":")[9] for line in said.decode().splitlines() if line.startswith("fpr:"))


def test_a_source_that_is_not_there(shop: Shop) -> None:
    with pytest.raises(Error, match="pacman -Syu failed with status 1") as caught:
        shop.build(shop.write(BASE, mirror="http://127.0.0.1:9/repo"))
    assert "failed to synchronize all databases" in caught.value.details
    with pytest.raises(UsageError, match="no repository core in /nowhere"):
        shop.build(shop.write(BASE, mirror="/nowhere"))
    with pytest.raises(Error, match="pacman has no source"):
        shop.build(shop.write(BASE, mirror="", keyring=""))
    assert not shop.store.names()


def test_the_shipped_recipe(shop: Shop, repository: Arch) -> None:
    """arch-base names packages that the repository here lacks: it is read, and says which."""
    sets = {"mirror": "file://$repo", "keyring": str(repository.keyring)}
    with pytest.raises(UsageError, match="no repository core"):
        build(shop.store, "arch-base", shop.heard, sets=sets)
    (repository.folder / "extra.db").symlink_to("core.db")
    with pytest.raises(Error) as caught:
        build(shop.store, "arch-base", shop.heard, sets={**sets, "mirror": f"file://{repository.folder}"})
    assert "error: target not found: base" in caught.value.details


def test_a_vendors_packages(shop: Shop, tmp_path: Path) -> None:
    """A second source, with its own keyring, is there for the step that names it and those after it."""
    vendor = arches.vendor(tmp_path / "vendor")
    step = '\n[[step]]\n[step.pacman]\npackages = ["extra"]\nrepositories = ["vendor"]\n'
    step += f'mirror = "{vendor.folder}"\nkeyring = "KEY"\n'
    more = step + '\n[[step]]\npacman = ["hello"]\n'
    tree = shop.build(shop.write(BASE, more=more.replace("KEY", str(vendor.keyring))))
    assert tree.steps[1]["made"]["packages"] == {"extra": "1.0-1"} and tree.steps[2]["pinned"]
    assert shop.look(tree)["etc/pacman.d/treesmith-2.gpg"] == "file"
    error = shop.fails(shop.write(BASE, more=more.replace("KEY", shop.options["keyring"])))
    assert "step 2: pacman: pacman -Syu failed" in error.brief
    assert "required key missing from keyring" in error.details


def test_a_full_disk(tmp_path: Path, shop: Shop) -> None:
    with filesystems.ext4(tmp_path, 3 * filesystems.MIB) as mounted:
        shop.store = create_store(str(mounted / "store"), "copy")
        error = shop.fails(shop.write(BASE))
        assert "pacman -Syu failed" in error.brief and "could not extract" in error.details
