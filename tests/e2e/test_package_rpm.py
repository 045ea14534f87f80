"""Source packages of rpm's, built anew by the real tools and installed; and all that can go wrong."""

import hashlib
from pathlib import Path

import pytest
from offline import deb, rpm, srpm
from offline.debian import debian
from offline.rpm import Fedora, fedora
from workshop import Elsewhere, Workshop

from treesmith.errors import Error
from treesmith.store import create_store

FILE = "greet-1.2-1.src.rpm"
STEP = f'[[step]]\n[step.package]\nfile = "{FILE}"\n'
FINDS = "echo 'tool >= 1.0'; if [ -e /usr/bin/tool ]; then echo extra; fi"
RUN = '[[step]]\nrun = "greet >/said"\n'


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Fedora:
    folder = tmp_path_factory.mktemp("repository")
    made = fedora().copy(folder / "repo")
    srpm.bring(made, folder)
    return made


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packages") / "store"
    create_store(str(path), "overlay")
    return path


@pytest.fixture
def shop(kept: Path, tmp_path: Path) -> Workshop:
    shop = Workshop(create_store(str(kept)), tmp_path / "recipes", debian())
    srpm.source(shop.folder)
    return shop


def base(repository: Fedora, kind: str = "dnf") -> str:
    return f"""\
[[step]]
[step.{kind}]
packages = ["busybox", "fedora-release"]
mirror = "{repository.folder}"
keyring = "{repository.keyring}"
release = "40"
"""


def failing(shop: Workshop, steps: str) -> Error:
    with pytest.raises(Error) as caught:
        shop.build(shop.write(steps, "fails"))
    assert "fails" not in shop.store.names() and not shop.staged()
    assert not list(Path(shop.store.path, "cache").rglob("step/*"))
    return caught.value


@pytest.mark.parametrize("kind", ["dnf", "zypper"])
def test_built_and_installed(shop: Workshop, repository: Fedora, kind: str) -> None:
    path = shop.write(f"{base(repository, kind)}{STEP}jobs = 3\n{RUN}")
    tree = shop.build(path)
    assert shop.read(tree, "/said") == "hello from package\n"
    assert shop.read(tree, "/usr/share/greet/builder") == "65534\n"
    assert shop.read(tree, "/usr/share/greet/options") == "-j3\n"
    there = shop.entries(tree)
    assert (there["usr/share/greet/options"].uid, there["usr/share/greet/options"].gid) == (2, 12)
    assert there["usr/bin/greet"].uid == 0 and "usr/bin/hello" in there  # it depends on it
    assert not {"usr/bin/tool", "usr/bin/rpmbuild", "usr/bin/createrepo_c", "build", "usr/share/doc/greet"} & set(there)
    assert not [
        name for name in there if name.startswith(("run/", "var/cache/", "var/lib/dnf", "etc/yum.repos.d/built"))
    ]
    made = tree.steps[-2]["made"]
    digest = hashlib.sha256((shop.folder / FILE).read_bytes()).hexdigest()
    assert made["package"] == {"name": "greet", "version": "1.2-1", "digest": f"sha256:{digest}"}
    assert made["packages"] == {"greet.noarch": "1.2-1", "hello.noarch": "1.0-1"} and tree.steps[-2]["pinned"]
    assert set(made["built"]) == {"greet.noarch"}
    names = {name.rpartition(".")[0] for name in made["archives"]}
    assert names == {"createrepo_c", "hello", "rpm-build", "tool"}
    shop.build(path)
    assert set(shop.verbs()) == {"keep"}


def test_which_packages(shop: Workshop, repository: Fedora) -> None:
    """One needs another of the same source; and both go before what is there of the same version."""
    both = f'{STEP}packages = ["greet-doc"]\n'
    tree = shop.build(shop.write(f'{base(repository)}{both}[[step]]\nrun = "echo theirs >/usr/bin/greet"\n{STEP}{RUN}'))
    assert set(tree.steps[1]["made"]["built"]) == {"greet.noarch", "greet-doc.noarch"}
    assert "usr/share/doc/greet" in shop.entries(tree) and shop.read(tree, "/said") == "hello from package\n"
    assert tree.steps[3]["made"]["packages"] == {"greet.noarch": "1.2-1"}
    error = failing(shop, f'{base(repository)}{STEP}packages = ["greet", "greet-gtk"]\n')
    assert "no package greet-gtk was built" in error.brief and "greet, greet-doc" in error.details


@pytest.mark.parametrize("version", ["1.2", "2.0"])
def test_it_goes_before_one_of_the_same_name(repository: Fedora, tmp_path: Path, version: str) -> None:
    """Though the tree's source has it, and it is installed: what was built is what is there."""
    shop = Workshop(create_store(str(tmp_path / "store"), "copy"), tmp_path / "recipes", debian())
    srpm.source(shop.folder)
    own = repository.copy(tmp_path / "rpms")
    own.bring({"greet": srpm.THEIRS.replace("{version}", version)})
    for steps in (STEP, f'[[step]]\ndnf = ["greet"]\n{STEP}'):
        tree = shop.build(shop.write(f"{base(own)}{steps}{RUN}"))
        assert shop.read(tree, "/said") == "hello from package\n"
        assert tree.steps[-2]["made"]["packages"]["greet.noarch"] == "1.2-1"
        assert "greet.noarch" not in tree.steps[-2]["made"]["archives"]


def test_signed(shop: Workshop, repository: Fedora, tmp_path: Path) -> None:
    steps = f'{base(repository)}{STEP}keyring = "mine.asc"\n'
    (shop.folder / "mine.asc").write_bytes(repository.key.export_text())
    error = failing(shop, steps)
    assert f"rpmkeys --checksig {FILE} failed" in error.brief and "SIGNATURES NOT OK" in error.details
    path = shop.folder / FILE
    rpm.signed(repository.key, [str(path)])
    assert shop.build(shop.write(steps)).steps[-1]["made"]["built"]
    (shop.folder / "mine.asc").write_bytes(deb.Key(tmp_path / "other").export_text())
    assert "SIGNATURES NOT OK" in failing(shop, steps).details
    (shop.folder / "mine.asc").write_bytes(repository.key.export_text())
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    assert "DIGESTS" in failing(shop, steps).details
    error = failing(shop, f'{base(repository)}{STEP}sha256 = "{"0" * 64}"\n')
    assert f"{FILE} is not the file that was meant" in error.brief


def test_what_cannot_be_built(shop: Workshop, repository: Fedora) -> None:
    srpm.source(shop.folder, needs="nothere >= 3")
    error = failing(shop, base(repository) + STEP)
    assert "dnf install failed" in error.brief and "nothere >= 3" in error.details
    srpm.source(shop.folder, needs="tool, (nothere if tool)")
    error = failing(shop, base(repository) + STEP)
    assert f"rpmbuild --rebuild {FILE} failed" in error.brief and "(nothere if tool) is needed by" in error.details
    srpm.source(shop.folder, needs="busybox", finds="echo nothere = 3")
    error = failing(shop, base(repository) + STEP)
    assert "dnf install failed" in error.brief and "nothere = 3" in error.details
    srpm.source(shop.folder, needs="busybox", finds="echo '(nothere if busybox)'")
    error = failing(shop, base(repository) + STEP)
    assert f"rpmbuild --rebuild {FILE} failed" in error.brief and "(nothere if busybox) is needed" in error.details
    srpm.source(shop.folder, needs="busybox", finds="echo /tmp/evil.rpm")  # dnf would install the file
    assert "'/tmp/evil.rpm' is no package's name" in failing(shop, base(repository) + STEP).brief
    srpm.source(shop.folder, needs="tool", how="echo no way to build this >&2; false")
    error = failing(shop, base(repository) + STEP)
    assert f"rpmbuild --rebuild {FILE} failed" in error.brief and "no way to build this" in error.details
    error = failing(shop, f'{base(repository)}[[step]]\npackage = "greet"\n')
    assert "the tree has no dpkg" in error.brief and "src.rpm" in error.hint
    (shop.folder / "empty").mkdir()
    error = failing(shop, f'[[step]]\ncopy = {{ from = "empty", to = "/" }}\n{STEP}')
    assert "no step below named one" in error.details


def test_locked(tmp_path: Path, repository: Fedora, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")
    both = Elsewhere(tmp_path, debian())
    srpm.source(both.here.folder, needs="busybox", finds=FINDS)
    own = repository.copy(tmp_path / "rpms")
    own.bring({"extra": f"{rpm.HEAD}{rpm.NOARCH}{rpm.EMPTY}%files\n"})
    path = both.here.write(base(own) + STEP + RUN, "app")
    first = both.here.build(path)
    assert {"tool.x86_64", "extra.noarch"} <= first.steps[-2]["made"]["needs"].keys()
    both.lock(path)
    own.publish("hello", "2.0")
    for listed in own.folder.glob("repodata/*"):
        listed.unlink()
    tree = both.twice(path)
    assert both.here.read(tree, "/said") == "hello from package\n"
    assert tree.steps[-2]["made"] == first.steps[-2]["made"]
