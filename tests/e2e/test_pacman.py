"""pacman into an empty root and into a tree, from a signed repository that needs no network; and what can go wrong."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from offline import deb
from offline.arch import Arch, arch
from workshop import Heard

from treesmith.build import build
from treesmith.compare.walk import walk
from treesmith.errors import Error, UsageError
from treesmith.plan import Plan, Wish
from treesmith.store import Store, Tree, create_store


@pytest.fixture(scope="session")
def repository() -> Arch:
    return arch()


class Shop:
    def __init__(self, store: Store, folder: Path, arch: Arch) -> None:
        self.store, self.folder, self.arch = store, folder, arch
        self.plan: Plan | None = None
        self.heard = Heard()

    def write(self, packages: str = '"busybox"', more: str = "", **other: str) -> Path:
        options = {"mirror": str(self.arch.folder), "keyring": str(self.arch.keyring), **other}
        lines = "".join(f'{key} = "{value}"\n' for key, value in options.items() if value)
        path = self.folder / "base.toml"
        path.write_text(f'[[step]]\n[step.pacman]\npackages = [{packages}]\nrepositories = ["core"]\n{lines}{more}')
        return path

    def build(self, path: Path) -> Tree:
        self.heard = Heard()
        tree, self.plan = build(self.store, str(path), self.heard, wish=Wish(replace=True))
        return tree

    def look(self, tree: Tree) -> dict[str, str]:
        view = self.store.backend.open(tree, "ro")
        root = view.mount()
        try:
            return {entry.path: entry.type for entry in walk(root, content=False)}
        finally:
            os.close(root)
            view.close()


@pytest.fixture
def shop(tmp_path: Path, repository: Arch) -> Shop:
    return Shop(create_store(str(tmp_path / "store"), "overlay"), tmp_path, repository.copy(tmp_path / "repo"))


def test_a_base_and_packages_into_it(shop: Shop) -> None:
    more = '\n[[step]]\npacman = ["hello"]\n\n[[step]]\nrun = "hello >/said; rm /etc/hello.conf"\n'
    tree = shop.build(shop.write(more=more))
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


def test_a_package_that_was_tampered_with(shop: Shop) -> None:
    """Once against the list of contents, once with a list that was made to fit."""
    path = next(shop.arch.folder.glob("busybox-*.zst"))
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(Error, match="pacman -Syu failed with status 1") as caught:
        shop.build(shop.write())
    assert "invalid or corrupted package" in caught.value.details
    shop.arch.add(path)
    with pytest.raises(Error, match="pacman -Syu failed with status 1") as caught:
        shop.build(shop.write())
    assert "invalid or corrupted package (PGP signature)" in caught.value.details
    assert not shop.store.names()


def test_another_key_and_no_signature(shop: Shop, tmp_path: Path) -> None:
    deb.Key(tmp_path / "gpg").export(tmp_path / "other.gpg")
    with pytest.raises(Error, match="pacman -Syu failed") as caught:
        shop.build(shop.write(keyring=str(tmp_path / "other.gpg")))
    assert "required key missing from keyring" in caught.value.details
    next(shop.arch.folder.glob("busybox-*.sig")).unlink()
    shop.arch.add(next(shop.arch.folder.glob("busybox-*.zst")))
    with pytest.raises(Error, match="pacman -Syu failed") as caught:
        shop.build(shop.write())
    assert re.search(r"failed retrieving file 'busybox-1.0-1-.*.sig'", caught.value.details)
    with pytest.raises(UsageError, match="needs a keyring"):
        shop.build(shop.write(keyring=""))
    assert shop.build(shop.write(more="trust = true\n", keyring="")).steps[0]["made"]["packages"]


def test_a_key_that_was_revoked(shop: Shop, tmp_path: Path) -> None:
    ours = tmp_path / "ours.gpg"
    shutil.copy(shop.arch.keyring, ours)
    shop.build(shop.write(keyring="ours.gpg"))
    (tmp_path / "ours-revoked").write_text("0" * 40 + "\n" + fingerprint(ours).lower() + "\n")
    with pytest.raises(Error, match="pacman -Syu failed") as caught:
        shop.build(shop.write(keyring="ours.gpg"))
    assert "required key missing from keyring" in caught.value.details
    (tmp_path / "ours-revoked").write_text("# nobody\n" + "0" * 40 + "\n")
    tree = shop.build(shop.write(keyring="ours.gpg", more='\n[[step]]\npacman = ["hello"]\n'))
    assert shop.look(tree)["etc/pacman.d/treesmith-revoked"] == "file"
    (tmp_path / "ours-revoked").unlink()
    (tmp_path / "ours-revoked").symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match="leaves the recipe's folder"):
        shop.build(shop.write(keyring="ours.gpg"))


def test_whose_word_makes_a_key_good(shop: Shop, tmp_path: Path) -> None:
    """The packager's key counts because a trusted one has signed it; who only is in the keyring vouches for nobody."""
    packager = fingerprint(shop.arch.keyring)
    master, other = deb.Key(tmp_path / "master"), deb.Key(tmp_path / "other")
    master.vouch(shop.arch.keyring, packager)
    master.export(tmp_path / "ours.gpg")
    other.export(tmp_path / "other.gpg")
    with (tmp_path / "ours.gpg").open("ab") as file:
        file.write((tmp_path / "other.gpg").read_bytes())
    more = '\n[[step]]\npacman = ["hello"]\n'
    for signer, level, good in ((other, 5, False), (master, 4, False), (master, 5, True)):
        (tmp_path / "ours-trusted").write_text(f"# who\n{signer.fingerprint()}:{level}:\n")
        if good:
            assert shop.build(shop.write(keyring="ours.gpg", more=more)).steps[1]["made"]["packages"]
            continue
        with pytest.raises(Error, match="pacman -Syu failed") as caught:
            shop.build(shop.write(keyring="ours.gpg"))
        assert "unknown trust" in caught.value.details or "marginal trust" in caught.value.details
    (tmp_path / "ours-trusted").write_text(f"{'0' * 40}:5:\n")
    with pytest.raises(Error, match="gpg failed"):
        shop.build(shop.write(keyring="ours.gpg"))


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
def test_what_is_no_list_of_keys(shop: Shop, tmp_path: Path, part: str, text: str) -> None:
    shutil.copy(shop.arch.keyring, tmp_path / "ours.gpg")
    (tmp_path / f"ours{part}").write_text(text)
    with pytest.raises(UsageError, match=f"ours{part} is no list of keys"):
        shop.build(shop.write(keyring="ours.gpg"))
    (tmp_path / f"ours{part}").unlink()
    (tmp_path / f"ours{part}").mkdir()
    with pytest.raises(UsageError, match=f"ours{part} is not a file"):
        shop.build(shop.write(keyring="ours.gpg"))
    with pytest.raises(Error, match="in the tree is no list of keys"):
        spoil = f'\n[[step]]\nrun = ["/bin/sh", "-c", "echo what >/etc/pacman.d/treesmith{part}"]\n'
        shop.build(shop.write(more=spoil + '\n[[step]]\npacman = ["hello"]\n'))


def fingerprint(keyring: Path) -> str:
    said = subprocess.run(["gpg", "--show-keys", "--with-colons", str(keyring)], capture_output=True, check=True).stdout
    return next(line.split(":")[9] for line in said.decode().splitlines() if line.startswith("fpr:"))


def test_a_source_that_is_not_there(shop: Shop) -> None:
    with pytest.raises(Error, match="pacman -Syu failed with status 1") as caught:
        shop.build(shop.write(mirror="http://127.0.0.1:9/repo"))
    assert "failed to synchronize all databases" in caught.value.details
    with pytest.raises(UsageError, match="no repository core in /nowhere"):
        shop.build(shop.write(mirror="/nowhere"))
    with pytest.raises(Error, match="pacman has no source"):
        shop.build(shop.write(mirror="", keyring=""))
    assert not shop.store.names()


def test_the_shipped_recipe(shop: Shop) -> None:
    """arch-base names packages that the repository here lacks: it is read, and says which."""
    sets = {"mirror": "file://$repo", "keyring": str(shop.arch.keyring)}
    with pytest.raises(UsageError, match="no repository core"):
        build(shop.store, "arch-base", shop.heard, sets=sets)
    (shop.arch.folder / "extra.db").symlink_to("core.db")
    with pytest.raises(Error) as caught:
        build(shop.store, "arch-base", shop.heard, sets={**sets, "mirror": f"file://{shop.arch.folder}"})
    assert "error: target not found: base" in caught.value.details
