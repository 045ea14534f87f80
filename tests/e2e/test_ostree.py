"""ostree into an empty root, from signed repositories that need no network; and a tree committed to one."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import roots
from command import Command
from offline.deb import Key
from offline.server import serve
from test_oci import entries, of_folder

from treesmith.compare.differences import differences
from treesmith.store import Store, create_store, open_store


@pytest.fixture
def store(store_path: Path) -> Store:
    create_store(str(store_path), "overlay")
    return open_store(str(store_path))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return Key(tmp_path_factory.mktemp("ostree") / "gpg")


class Repository:
    """`commit` adds what is in the folder `root`, signed by the key."""

    def __init__(self, folder: Path, key: Key, mode: str) -> None:
        self.folder, self.root, self.key = folder / "repo", roots.busybox(folder / "root"), key
        self.ostree("init", f"--mode={mode}")
        key.export(folder / "key.gpg")

    def ostree(self, *words: str, **environment: str) -> str:
        argv = ["ostree", f"--repo={self.folder}", *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, **environment})
        assert not done.returncode, done.stderr
        return done.stdout.strip()

    def commit(self, *words: str) -> str:
        with self.key.agent() as environment:
            sign = f"--gpg-sign={self.key.fingerprint()}"
            return self.ostree("commit", "--branch=test/one", f"--tree=dir={self.root}", sign, *words, **environment)


@pytest.fixture(params=["bare", "archive"])
def repository(request: pytest.FixtureRequest, tmp_path: Path, key: Key) -> Repository:
    return Repository(tmp_path, key, request.param)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write(ref: str = "test/one", mirror: str = "repo", more: str = 'keyring = "key.gpg"') -> str:
        path = tmp_path / "app.toml"
        path.write_text(f'[[step]]\n[step.ostree]\nref = "{ref}"\nmirror = "{mirror}"\n{more}\n')
        return str(path)

    return write


def test_a_checkout(
    store: Store, treesmith: Command, repository: Repository, write: Callable[..., str], tmp_path: Path
) -> None:
    file = repository.root / "etc/data"
    file.write_text("1")
    file.chmod(0o4750)
    os.chown(file, 7, 8)
    os.setxattr(file, "user.note", b"kept")
    first = repository.commit()
    treesmith("build", write())
    found = [str(one) for one in differences(of_folder(repository.root), entries(store, "app"), ("mtime", "links"))]
    assert {one.partition(":")[0] for one in found} <= {"dev", "proc", "sys"}, found
    step = store.find("app").steps[0]
    assert step["pinned"] and step["made"]["commit"] == first
    file.write_text("2")
    second = repository.commit()
    assert "ref.commit" in treesmith("build", write(), "--dry-run").stdout
    treesmith("build", write())
    assert store.find("app").steps[0]["made"]["commit"] == second
    treesmith("build", write(first))
    assert treesmith("launch", "-q", "app", "--", "cat", "/etc/data").stdout == "1"
    repository.ostree("refs", "--delete", "test/one")
    assert "has no branch test/one" in treesmith("build", write(), status=2).stderr


def test_signatures(store: Store, treesmith: Command, tmp_path: Path, key: Key, write: Callable[..., str]) -> None:
    repository = Repository(tmp_path, key, "bare")
    repository.commit()
    Key(tmp_path / "other").export(tmp_path / "other.gpg")
    assert "needs a keyring" in treesmith("build", write(more=""), status=2).stderr
    done = treesmith("build", write(more='keyring = "other.gpg"'), status=1)
    assert "app: step 1: ostree: ostree pull failed" in done.stderr and "public key" in done.stderr
    repository.ostree("commit", "--branch=test/one", f"--tree=dir={repository.root}")
    assert "no signatures" in treesmith("build", write(), status=1).stderr.lower()
    assert not store.names()
    treesmith("build", write(more="trust = true"))
    assert "is no branch" in treesmith("build", write("../x"), status=2).stderr


def test_a_spoilt_object(store: Store, treesmith: Command, tmp_path: Path, key: Key, write: Callable[..., str]) -> None:
    repository = Repository(tmp_path, key, "bare")
    repository.commit()
    objects = [path for path in (tmp_path / "repo/objects").rglob("*.file") if path.is_file() and not path.is_symlink()]
    passwd = next(path for path in objects if path.read_bytes().startswith(b"root:"))
    passwd.write_bytes(passwd.read_bytes().replace(b"root:x", b"evil:x"))
    done = treesmith("build", write(), status=1)
    assert "ostree pull failed" in done.stderr and "orrupt" in done.stderr and not store.names()


def test_from_a_server(store: Store, treesmith: Command, tmp_path: Path, key: Key, write: Callable[..., str]) -> None:
    repository = Repository(tmp_path, key, "archive")
    commit = repository.commit()
    repository.ostree("summary", "--update")
    with serve(repository.folder, tmp_path / "asked") as server:
        treesmith("build", write(mirror=server.url))
    step = store.find("app").steps[0]
    assert step["made"]["commit"] == commit and not step["pinned"]
    treesmith("launch", "-q", "app", "--", "true")
    done = treesmith("build", write("test/two", server.url), status=1)
    assert "ostree pull failed" in done.stderr


def test_a_tree_is_committed(
    store: Store, treesmith: Command, tmp_path: Path, key: Key, write: Callable[..., str]
) -> None:
    """Out of a mount, by ostree itself; and what is checked out of that is the same."""
    repository = Repository(tmp_path, key, "bare")
    repository.commit()
    treesmith("build", write())
    place = treesmith("mount", "app").stdout.strip()
    try:
        repository.ostree("commit", "--branch=again", f"--tree=dir={place}")
    finally:
        treesmith("umount", "app")
    treesmith("build", write("again", more="trust = true"), "--name", "again")
    assert not list(differences(entries(store, "app"), entries(store, "again"), ("mtime", "links")))


def test_a_lock(store: Store, treesmith: Command, tmp_path: Path, key: Key, write: Callable[..., str]) -> None:
    repository = Repository(tmp_path, key, "bare")
    first = repository.commit()
    path = write()
    treesmith("build", path)
    treesmith("lock", path)
    (repository.root / "etc/more").write_text("more")
    repository.commit()
    treesmith("build", path, "--locked", "--name", "locked")
    assert store.find("locked").steps[0]["made"]["commit"] == first
    treesmith("build", path)
    assert treesmith("launch", "-q", "app", "--", "cat", "/etc/more").stdout == "more"
    treesmith("launch", "-q", "locked", "--", "test", "!", "-e", "/etc/more")
