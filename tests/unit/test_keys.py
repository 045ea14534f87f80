"""A step's key: any one input changed changes it, and nothing else does. Per kind, on real files."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treesmith import recipe, steps
from treesmith.build import plan
from treesmith.errors import UsageError
from treesmith.plan import Wish
from treesmith.recipe.written import table
from treesmith.steps import Inputs, Setting, Step, apk, gather, guix
from treesmith.steps.inputs import key_of

LOCK = '{"packages": {"": {}, "node_modules/a": {"version": "1", "resolved": "file:a.tgz"}}}'
FILES = {
    "repo/dists/bookworm/InRelease": "signed",
    "repo/refs/heads/test/one": "a" * 64 + "\n",
    "ring.gpg": "keys",
    "requirements.txt": "flask==3.0.0\n-r more/base.txt\n-c limits.txt # why not\n",
    "more/base.txt": "click==8.1\n",
    "limits.txt": "click<9\n",
    "index/flask/flask.whl": "wheel",
    "web/package.json": "{}",
    "web/package-lock.json": LOCK,
    "web/a.tgz": "archive",
    "set-up.sh": "#!/bin/sh\ntrue\n",
    "app/main.py": "print()",
    "app/sub/data": "data",
    "app.tar": "not read yet",
    "rpms/repodata/repomd.xml": "listed",
    "gems/specs.4.8.gz": "listed",
    "cpan/modules/02packages.details.txt.gz": "listed",
    "arch/core.db": "listed",
    "alpine/main/x86_64/APKINDEX.tar.gz": "listed",
    "alpine/main/aarch64/APKINDEX.tar.gz": "listed",
    "arch/extra.db": "listed",
    "src/app.dsc": "Source: app\nFiles:\n 00 1 app.orig.tar\n 00 1 app.debian.tar\n",
    "src/app.orig.tar": "not read",
    "src/app.debian.tar": "not read",
}
# kind -> (options, a change to each option, files that are read)
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "debootstrap": (
        {
            "suite": "bookworm", "mirror": "repo", "variant": "minbase", "include": ("a", "b"), "components": ("main",),
            "keyring": "ring.gpg", "updates": False, "trust": False, "expired": False,
        },
        {
            "suite": "trixie", "mirror": "http://x/debian", "variant": "buildd", "include": ("b", "a"),
            "components": ("main", "contrib"), "keyring": "other.gpg", "updates": True, "trust": True,
            "expired": True,
        },
        ["repo/dists/bookworm/InRelease", "ring.gpg"],
    ),
    "apt": (
        {
            "packages": ("a", "b"), "recommends": False, "suite": "bookworm", "mirror": "repo", "components": ("main",),
            "keyring": "ring.gpg", "trust": False, "expired": False,
        },
        {
            "packages": ("b", "a"), "recommends": True, "suite": "trixie", "mirror": "http://x/debian",
            "components": ("main", "contrib"), "keyring": "other.gpg", "trust": True, "expired": True,
        },
        ["repo/dists/bookworm/InRelease", "ring.gpg"],
    ),
    "pip": (
        {
            "packages": ("six", "attrs"), "requirements": "requirements.txt", "venv": "/venv", "hashes": False,
            "index": "index",
        },
        {
            "packages": ("attrs", "six"), "requirements": "limits.txt", "venv": "/v", "hashes": True,
            "index": "http://x/simple",
        },
        ["requirements.txt", "more/base.txt", "limits.txt", "index/flask/flask.whl"],
    ),
    "npm": (
        {"lock": "web", "to": "/srv", "dev": False, "registry": "http://x"},
        {"lock": "web2", "to": "/opt", "dev": True, "registry": "http://y"},
        ["web/package.json", "web/package-lock.json", "web/a.tgz"],
    ),
    "gem": (
        {"packages": ("a", "b:1"), "source": "gems"},
        {"packages": ("b:1", "a"), "source": "http://x/"},
        ["gems/specs.4.8.gz"],
    ),
    "cpan": (
        {"packages": ("A::B", "C"), "mirror": "cpan"},
        {"packages": ("C", "A::B"), "mirror": "http://x/"},
        ["cpan/modules/02packages.details.txt.gz"],
    ),
    "make": (
        {
            "source": "app.tar", "sha256": "0", "configure": ("--a", "--b"), "targets": ("a", "b"),
            "install": ("install",), "package": False,
        },
        {
            "source": "other.tar", "sha256": "1", "configure": ("--b", "--a"), "targets": ("b", "a"),
            "install": ("install-strip",), "package": True,
        },
        ["app.tar"],
    ),
    "package": (
        {
            "file": "src/app.dsc", "sha256": "0", "keyring": "ring.gpg", "patches": ("set-up.sh",), "packages": ("a",),
            "profiles": ("a", "b"), "options": ("a", "b"), "suffix": "+a", "jobs": 1,
        },
        {
            "file": "src2/app.dsc", "sha256": "1", "keyring": "other.gpg", "patches": ("other.sh",), "packages": ("b",),
            "profiles": ("b", "a"), "options": ("b", "a"), "suffix": "+b", "jobs": 2,
        },
        ["src/app.dsc", "src/app.orig.tar", "src/app.debian.tar", "set-up.sh"],
    ),
    "run": (
        {"command": "a b", "user": "x", "chdir": "/x"},
        {"command": ("a", "b"), "user": "y", "chdir": "/y"},
        [],
    ),
    "script": (
        {"file": "set-up.sh", "args": ("a", "b"), "user": "x", "chdir": "/x"},
        {"file": "other.sh", "args": ("b", "a"), "user": "y", "chdir": "/y"},
        ["set-up.sh"],
    ),
    "copy": (
        {"from": "app", "to": "/srv", "owner": "app", "mode": "0644", "ignore": "ring.gpg"},
        {"from": "app2", "to": "/opt", "owner": "app:app", "mode": "0600", "ignore": "other.gpg"},
        ["app/main.py", "app/sub/data"],
    ),
    "ansible": (
        {"playbook": "app/main.py", "vars": ("a=1", "b=2"), "tags": ("x",)},
        {"playbook": "app/sub/data", "vars": ("b=2", "a=1"), "tags": ("y",)},
        ["app/main.py", "app/sub/data"],
    ),
    "etckeeper": ({}, {}, []),
    "ostree": (
        {"ref": "test/one", "mirror": "repo", "keyring": "ring.gpg", "trust": False},
        {"ref": "f" * 64, "mirror": "http://x/", "keyring": "other.gpg", "trust": True},
        ["ring.gpg"],
    ),
    "dnf": (
        {
            "packages": ("a", "b"), "release": "40", "mirror": "rpms", "keyring": "ring.gpg", "trust": False,
            "recommends": False,
        },
        {
            "packages": ("b", "a"), "release": "41", "mirror": "http://x/", "keyring": "other.gpg", "trust": True,
            "recommends": True,
        },
        ["ring.gpg", "rpms/repodata/repomd.xml"],
    ),
    "zypper": (
        {
            "packages": ("a", "b"), "release": "15.6", "mirror": "rpms", "keyring": "ring.gpg", "trust": False,
            "recommends": False,
        },
        {
            "packages": ("b", "a"), "release": "16.0", "mirror": "http://x/", "keyring": "other.gpg", "trust": True,
            "recommends": True,
        },
        ["ring.gpg", "rpms/repodata/repomd.xml"],
    ),
    "nix": (
        {"packages": ("a", "b"), "file": "app"},
        {"packages": ("b", "a"), "file": "app2"},
        ["app/main.py", "app/sub/data"],
    ),
    "pacman": (
        {"packages": ("a", "b"), "repositories": ("core",), "mirror": "arch", "keyring": "ring.gpg", "trust": False},
        {
            "packages": ("b", "a"), "repositories": ("core", "extra"), "mirror": "http://x/", "keyring": "other.gpg",
            "trust": True,
        },
        ["ring.gpg", "arch/core.db"],
    ),
    "apk": (
        {"packages": ("a", "b"), "repositories": ("main",), "mirror": "alpine", "keyring": "ring.gpg", "trust": False},
        {
            "packages": ("b", "a"), "repositories": (), "mirror": "http://x/", "keyring": "other.gpg", "trust": True,
        },
        ["ring.gpg", "alpine/main/x86_64/APKINDEX.tar.gz"],
    ),
    "guix": ({"packages": ("a", "b")}, {"packages": ("b", "a")}, []),
    "oci": (
        {"image": "docker-archive:app.tar", "trust": False, "size": 1},
        {"image": "docker-archive:other.tar", "trust": True, "size": 2},
        ["app.tar"],
    ),
    "tar": (
        {"file": "app.tar", "to": "/srv", "strip": 0, "sha256": "0"},
        {"file": "other.tar", "to": "/opt", "strip": 1, "sha256": "1"},
        ["app.tar"],
    ),
}  # fmt: skip
# Whose mirror, a folder, is in the tree.
MIRRORED = ("ostree", "debootstrap", "apt", "dnf", "zypper", "pacman", "apk")
COPIES = {
    "ring.gpg": "other.gpg", "set-up.sh": "other.sh", "app.tar": "other.tar", "web": "web2", "app": "app2",
    "src": "src2",
}  # fmt: skip
# What `debootstrap` would have to have a Release of, were the option that it is changed to a folder of the host's.
ABSENT = {"trixie": "repo/dists/trixie/InRelease"}


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian 12 has no apk and no guix. That they are asked for is seen elsewhere."""
    for kind in (apk, guix):
        if not shutil.which(kind.schema.kind):
            monkeypatch.setattr(kind, "driver", lambda step, schema: (schema.kind, "3.0"))


def step(folder: Path, kind: str, **changes: Any) -> Step:
    path = folder / "test.toml"
    path.write_text(f"[[step]]\n{kind} = {{}}\n")
    return Step(1, kind, dict(KINDS[kind][0]), str(path), str(folder), network=True)._replace(**changes)


def key(made: Step, parent: str = "p", **setting: Any) -> str:
    return key_of(parent, gather(made, Setting(**{"arch": "x86_64", **setting})).facts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
    for name, copy in COPIES.items():
        (shutil.copytree if (tmp_path / name).is_dir() else shutil.copy)(tmp_path / name, tmp_path / copy)
    for name in ABSENT.values():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("signed")
    return tmp_path


def test_every_kind_and_every_option_is_tried() -> None:
    assert set(KINDS) == set(steps.BUILT_IN)
    for kind, (options, changes, _) in KINDS.items():
        known = set(steps.kind(kind).schema.options)
        missing = {"npm": {"packages"}, "package": {"source"}}.get(kind, set())  # the other of two ways, see below
        assert set(options) == set(changes) == known - missing, kind
        for name in known - missing:
            for value in (options[name], changes[name]):
                assert not steps.kind(kind).schema.options[name].wrong(value), (kind, name, value)


@pytest.mark.parametrize(
    ("kind", "option"), [(kind, option) for kind, (_, changes, _) in KINDS.items() for option in changes]
)
def test_an_option_changed(folder: Path, kind: str, option: str) -> None:
    options, changes, _ = KINDS[kind]
    changed = step(folder, kind, options={**options, option: changes[option]})
    assert key(changed) != key(step(folder, kind))
    needed = (
        ("npm", "lock"), ("npm", "to"), ("dnf", "release"), ("make", "install"), ("apt", "suite"), ("apt", "mirror"),
        ("ostree", "keyring"), ("package", "file"), ("package", "suffix"),
        *((kind, option) for kind in ("dnf", "zypper", "pacman", "apk") for option in ("mirror", "keyring")),
    )  # fmt: skip
    if not steps.kind(kind).schema.options[option].required and (kind, option) not in needed:
        less = {name: value for name, value in options.items() if name != option}
        assert key(step(folder, kind, options=less)) not in (key(changed), key(step(folder, kind)))


def test_what_is_ignored_is_in_no_key(folder: Path) -> None:
    (folder / ".dockerignore").write_text("**/sub\n")
    made = step(folder, "copy", options={"from": "app", "to": "/x", "ignore": ".dockerignore"})
    before = key(made)
    (folder / "app/sub/data").write_text("other")
    assert key(made) == before
    (folder / ".dockerignore").write_text("# nothing\n")
    assert key(made) != before
    (folder / ".dockerignore").write_text("app\n")
    with pytest.raises(UsageError, match=r"app is left out by \.dockerignore"):
        key(made)


def test_the_packages_of_npm(folder: Path) -> None:
    tried = [("a",), ("b",), ("a", "b"), ("b", "a"), ("ab",), ("a,b",)]
    assert len({key(step(folder, "npm", options={"packages": packages})) for packages in tried}) == len(tried)


def test_the_source_of_a_package(folder: Path) -> None:
    tried = [{"source": "a1"}, {"source": "a1=2"}, {"source": "a1/sid"}, {"file": "src/app.dsc"}]
    made = [step(folder, "package", options={"suffix": "+a", **each}) for each in tried]
    assert len({key(each) for each in made}) == len(tried)
    below = gather(step(folder, "debootstrap"), Setting("x86_64"))
    assert [gather(made[0], Setting("x86_64", each)).pinned for each in ((), (below,))] == [False, True]


def changes_of_a_file(path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    yield "a byte", lambda: path.write_bytes(path.read_bytes() + b" ")
    yield "a mode bit", lambda: path.chmod(0o755)
    yield "a link instead", lambda: (path.rename(path.with_name("was")), path.symlink_to("was"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_changed(folder: Path, kind: str) -> None:
    for name in KINDS[kind][2]:
        path = folder / name
        for what, change in changes_of_a_file(path):
            # Where only the bytes decide (a signature's, a list of contents'), the mode does not count; and a link that
            # the recipe names is followed.
            if kind in MIRRORED and what != "a byte":
                continue
            if what == "a link instead" and not (kind == "copy" or name.startswith(("index", "gems", "cpan"))):
                continue
            before, content = key(step(folder, kind)), path.read_bytes()
            change()
            assert key(step(folder, kind)) != before, f"{name}: {what}"
            path.unlink()
            (folder / name).with_name("was").unlink(missing_ok=True)
            path.write_bytes(content)
            path.chmod(0o644)
            assert key(step(folder, kind)) == before


FOLDERS = {"ansible": "app", "copy": "app", "pip": "index", "gem": "gems", "cpan": "cpan", "make": "app"}


@pytest.mark.parametrize("kind", FOLDERS)
def test_what_a_folder_holds(folder: Path, kind: str) -> None:
    place = folder / FOLDERS[kind]
    # Elsewhere an archive is tried.
    changes = {"options": {"source": "app", "install": ("install",)}} if kind == "make" else {}
    seen = {key(step(folder, kind, **changes))}
    for change in (
        (place / "new").touch,
        lambda: (place / "new").rename(place / "newer"),
        lambda: (place / "newer").unlink() or (place / "newer").mkdir(),
        lambda: (place / "newer").chmod(0o700),
        lambda: (place / "newer").rmdir() or (place / "newer").symlink_to("a"),
        lambda: (place / "newer").unlink() or (place / "newer").symlink_to("b"),
    ):
        change()
        made = key(step(folder, kind, **changes))
        assert made not in seen
        seen.add(made)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_changed(folder: Path, kind: str) -> None:
    before = key(step(folder, kind))
    for path in sorted(folder.rglob("*")):
        os.utime(path, (1, 1))
    (folder / "app/__pycache__").mkdir()
    (folder / "app/__pycache__/main.pyc").touch()
    (folder / "app/old.pyc").touch()
    (folder / "not named").touch()
    assert key(step(folder, kind)) == before
    if kind != "etckeeper":  # which commits them
        assert key(step(folder, kind, name="another", number=7)) == before
    assert key(step(folder, kind)._replace(options=dict(reversed(KINDS[kind][0].items())))) == before
    moved = folder.with_name(folder.name + "-moved")
    shutil.copytree(folder, moved, symlinks=True)
    if kind not in MIRRORED:  # a folder's mirror is written into the tree's sources.list
        assert key(step(moved, kind)) == before


@pytest.mark.parametrize("kind", KINDS)
def test_what_all_kinds_have_in_common(folder: Path, kind: str) -> None:
    made = step(folder, kind)
    keys = [
        key(made),
        key(made, parent="q"),
        key(made, arch="aarch64"),
        key(made._replace(network=False)),
        key(made._replace(env={"A": "1"})),
        key(made._replace(env={"A": "2"})),
        key(made._replace(env={"A": "1", "B": "1"})),
        key(made._replace(secrets=("TOKEN",))),
    ]
    assert len(set(keys)) == len(keys)
    assert key(made._replace(env={"B": "1", "A": "1"})) == keys[6]


@pytest.mark.parametrize("kind", KINDS)
def test_the_callers_environment_is_no_input(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(step(folder, kind))
    for name in ("PIP_INDEX_URL", "npm_config_registry", "http_proxy", "SSL_CERT_FILE", "HOME", "TZ"):
        monkeypatch.setenv(name, "/elsewhere")
    assert key(step(folder, kind)) == before


def test_kinds_with_the_same_options_differ(folder: Path) -> None:
    same = {"packages": ("a",)}
    assert len({key(step(folder, kind, options=same)) for kind in ("apt", "pip", "npm", "gem", "cpan")}) == 5


def test_drivers_and_their_versions(folder: Path) -> None:
    made = step(folder, "debootstrap")
    facts = {
        name: gather(made._replace(driver=name), Setting("x86_64")).facts for name in ("debootstrap", "mmdebstrap")
    }
    assert {name: str(fact["driver"]).split()[0] for name, fact in facts.items()} == {name: name for name in facts}
    assert key_of("", facts["debootstrap"]) != key_of("", facts["mmdebstrap"])
    version = {**facts["debootstrap"], "driver": "debootstrap 0.0.1"}
    assert key_of("", version) != key_of("", facts["debootstrap"])


def test_a_raised_revision_changes_the_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = step(folder, "run")
    before = key(made)
    module = steps.kind("run")
    monkeypatch.setattr(module, "schema", module.schema._replace(revision=2))
    assert key(made) != before


@pytest.mark.parametrize(
    ("kind", "change", "pinned"),
    [
        ("debootstrap", {}, True),
        ("debootstrap", {"options": {"suite": "bookworm", "mirror": "http://x/debian"}}, False),
        ("apt", {}, False),
        ("apt", {"network": False}, True),
        ("pip", {}, True),
        ("pip", {"options": {"packages": ("six",)}}, False),
        ("pip", {"options": {"requirements": "limits.txt", "hashes": True}}, True),
        ("npm", {}, True),
        ("npm", {"options": {"packages": ("a",)}}, False),
        ("gem", {}, True),
        ("gem", {"options": {"packages": ("a",)}}, False),
        ("cpan", {}, True),
        ("cpan", {"options": {"packages": ("a",), "mirror": "http://x/"}}, False),
        ("make", {}, False),
        ("make", {"network": False}, True),
        ("run", {}, False),
        ("run", {"network": False}, True),
        ("script", {"network": False}, True),
        ("copy", {}, True),
        ("tar", {}, True),
        ("dnf", {}, True),
        ("pacman", {}, True),
        ("apk", {}, True),
        ("apk", {"options": {"packages": ("a",), "mirror": "http://x/", "trust": True}}, False),
        ("zypper", {}, True),
        ("guix", {}, False),
        ("nix", {}, False),
        ("nix", {"network": False}, True),
        ("oci", {}, True),
        ("oci", {"options": {"image": "docker://debian:12"}}, False),
        ("oci", {"options": {"image": f"docker://debian:12@sha256:{'0' * 64}"}}, True),
        ("oci", {"options": {"image": "containers-storage:debian:12"}}, False),
    ],
)
def test_whether_the_key_pins_it_all(folder: Path, kind: str, change: dict[str, Any], pinned: bool) -> None:
    assert gather(step(folder, kind, **change), Setting("x86_64")).pinned == pinned


def test_apt_from_a_folder_is_pinned_by_what_is_below(folder: Path) -> None:
    below = gather(step(folder, "debootstrap"), Setting("x86_64"))
    away = Inputs({"mirror.used": "http://x"}, False)
    plain = step(folder, "apt", options={"packages": ("a",)})
    for made in (plain, step(folder, "apt")):
        assert gather(made, Setting("x86_64", (below,))).pinned
        assert not gather(made, Setting("x86_64", (away,))).pinned
        assert not gather(made, Setting("x86_64", (below, away))).pinned
        assert not gather(made, Setting("x86_64", (Inputs({}, True),))).pinned
    backports = step(folder, "apt", options={"packages": ("a",), "mirror": "http://x", "suite": "x"})
    assert not gather(backports, Setting("x86_64", (below,))).pinned


@pytest.mark.parametrize("kind", ["dnf", "zypper", "pacman", "apk"])
def test_whether_further_packages_are_pinned(folder: Path, kind: str) -> None:
    below = gather(step(folder, kind), Setting("x86_64"))
    away = Inputs({"mirror.used": "http://x"}, False)
    more = step(folder, kind, options={"packages": ("a",)})
    assert gather(more, Setting("x86_64", (below,))).pinned
    assert not gather(more, Setting("x86_64", (below, away))).pinned
    assert not gather(more, Setting("x86_64", (Inputs({}, True),))).pinned


def refusals(folder: Path) -> Iterator[tuple[str, dict[str, Any], str]]:
    outside = folder.parent / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "file").write_text("secret")
    (outside / "dists/bookworm").mkdir(parents=True, exist_ok=True)
    for name, target in (("out", "../outside"), ("out-file", "../outside/file"), ("etc", "/etc"), ("dangling", "no")):
        (folder / name).symlink_to(target)
    yield "copy", {"from": "../outside", "to": "/x"}, "leaves the recipe's folder"
    yield "copy", {"from": "out", "to": "/x"}, "leaves the recipe's folder"
    yield "copy", {"from": "out/file", "to": "/x"}, "leaves the recipe's folder"
    yield "copy", {"from": "app/../out-file", "to": "/x"}, "leaves the recipe's folder"
    yield "copy", {"from": "etc", "to": "/x"}, "leaves the recipe's folder"
    yield "copy", {"from": "nothing", "to": "/x"}, "there is no nothing"
    yield "copy", {"from": "dangling", "to": "/x"}, "there is no dangling"
    yield "script", {"file": "out-file"}, "leaves the recipe's folder"
    yield "script", {"file": "app"}, "app is not a file"
    yield "tar", {"file": "out-file", "to": "/", "strip": 0}, "leaves the recipe's folder"
    yield "tar", {"file": "app.tar", "to": "/", "strip": -1}, "strip cannot be negative"
    yield "pip", {"requirements": "out-file"}, "leaves the recipe's folder"
    yield "pip", {}, "needs packages or requirements"
    yield "pip", {"packages": ("--index-url=http://x",)}, "is neither a package's name"
    yield "pip", {"packages": ("./app",)}, "is neither a package's name"
    yield "pip", {"index": "out", "packages": ("a",)}, "leaves the recipe's folder"
    yield "npm", {"lock": "out", "to": "/x"}, "leaves the recipe's folder"
    yield "npm", {"lock": "web"}, "needs `to`"
    yield "npm", {"lock": "app", "to": "/x"}, "there is no app/package-lock.json"
    yield "npm", {"packages": ("file:../x",)}, "is no package of a registry"
    yield "gem", {"packages": ("./a.gem",)}, "is neither a gem's name"
    yield "gem", {"packages": ("a.gem",)}, "is neither a gem's name"
    yield "gem", {"packages": ("--source=http://x",)}, "is neither a gem's name"
    yield "gem", {"packages": ("a",), "source": "out"}, "leaves the recipe's folder"
    yield "gem", {"packages": ("a",), "source": "/nowhere"}, "no folder /nowhere"
    yield "cpan", {"packages": ("http://x/A.tar.gz",)}, "is no module's name"
    yield "cpan", {"packages": ("./app",)}, "is no module's name"
    yield "cpan", {"packages": ("A",), "mirror": "out"}, "leaves the recipe's folder"
    (folder / "none.gpg").touch()
    for kind, more in (("dnf", {"release": "40"}), ("pacman", {}), ("debootstrap", {"suite": "bookworm"})):
        source = {"packages": ("a",)} if kind != "debootstrap" else {}
        yield kind, {**source, **more, "mirror": "http://x/", "keyring": "none.gpg"}, "no key is in "
    for kind in ("apt", "dnf", "zypper", "pacman", "apk"):
        for option, value in (("keyring", "ring.gpg"), ("trust", True)):
            yield kind, {"packages": ("a",), option: value}, f"{option} is of a mirror, and none is named here"
    for kind in ("dnf", "zypper", "pacman", "apk"):
        yield kind, {"packages": (), "mirror": "http://x/", "release": "1", "trust": True}, "fills no root without"
    yield "dnf", {"packages": ("a",), "mirror": "http://x/", "trust": True}, "dnf needs the release"
    for package in ("a.rpm", "http://x/a"):
        yield "zypper", {"packages": (package,), "mirror": "rpms", "trust": True}, "is a file, not a package"
    yield "apk", {"packages": ("./a.apk",), "mirror": "http://x/", "trust": True}, "is a file, not a package"
    yield "apk", {"packages": ("--root=/",), "mirror": "http://x/", "trust": True}, "is no name"
    yield "apk", {"packages": ("a",), "mirror": "http://x/\n@y z", "trust": True}, "is no name"
    for package in ("--file=x", "(x)", "a b", "a@"):
        yield "guix", {"packages": (package,)}, "is no package's name"
    yield "guix", {"packages": ()}, "guix needs packages"
    yield "nix", {"packages": ("--option",), "file": "app"}, "is no attribute"
    yield "nix", {"packages": (), "file": "app"}, "nix needs packages"
    yield "nix", {"packages": ("a",), "file": "out"}, "leaves the recipe's folder"
    for package in ("-a", "!a", "~a", ""):
        yield "zypper", {"packages": (package,), "mirror": "rpms", "trust": True}, "is no package's name"
    yield "apt", {"packages": ("a",), "mirror": "repo"}, "apt needs the suite"
    yield "apt", {"packages": ("a",), "mirror": "repo", "suite": "bullseye"}, "no suite bullseye"
    yield "make", {"source": "out-file", "install": ("install",)}, "leaves the recipe's folder"
    yield "make", {"source": "app", "sha256": "0", "install": ("install",)}, "sha256 is an archive's"
    yield "make", {"source": "app", "install": ()}, "no target installs"
    yield "apt", {"packages": ("-oDir=/",)}, "is no package's name"
    for name in ("-oDir=/", "./app", "a b", "a", "app=", "app/"):
        yield "package", {"source": name, "suffix": "+a"}, "is no source package's name"
    yield "package", {"source": "app", "suffix": "-1"}, "can be in no version"
    yield "package", {"source": "app", "suffix": "+a", "profiles": ("a b",)}, "'a b' is no word for it"
    yield "package", {"source": "app", "suffix": "+a", "sha256": "0"}, "sha256 is of a .dsc or a .src.rpm, and none"
    yield (
        "package",
        {"file": "app", "suffix": "+a", "keyring": "ring.gpg"},
        "keyring is of a .dsc or a .src.rpm",
    )
    yield "package", {"file": "app", "suffix": "+a"}, "app is neither a .dsc nor a .src.rpm nor a folder with"
    yield "package", {"file": "src/app.orig.tar", "suffix": "+a"}, "is neither a .dsc nor a .src.rpm nor a folder"
    yield "package", {"source": "app", "suffix": "+a", "jobs": -1}, "jobs cannot be negative"
    (folder / "app.src.rpm").touch()
    for option in ("patches", "profiles", "options"):
        given = {"file": "app.src.rpm", "suffix": "+a", option: ("app",)}
        yield "package", given, f"{option} are of Debian's source packages, and app.src.rpm is rpm's"
    yield "package", {"source": "app", "suffix": "+a", "patches": ("out-file",)}, "leaves the recipe's folder"
    for listed in ("", " 00 1 ../app.tar", " 00 1 /etc/passwd", " 00 1 .hidden"):
        name = f"d{abs(hash(listed))}.dsc"
        (folder / name).write_text(f"Source: app\nFiles:\n{listed}\n")
        yield "package", {"file": name, "suffix": "+a"}, "it names no files of a source package"
    (folder / "lost.dsc").write_text("Source: app\nFiles:\n 00 1 lost.tar\n")
    yield "package", {"file": "lost.dsc", "suffix": "+a"}, "there is no lost.tar"
    yield "apt", {"packages": ("a b",)}, "is no package's name"
    yield "debootstrap", {"suite": "bookworm", "mirror": "out", "trust": True}, "leaves the recipe's folder"
    yield "debootstrap", {"suite": "bullseye", "mirror": "repo", "trust": True}, "no suite bullseye"
    yield "debootstrap", {"suite": "bookworm", "mirror": "repo", "keyring": "/nowhere.gpg"}, "no keyring /nowhere.gpg"
    for line in (
        "-e .",
        "./app",
        "../x.whl",
        "six @ file:///x",
        "--find-links wheels",
        "-f wheels",
        "/x.whl",
        "--editable=.",
    ):
        (folder / f"r{abs(hash(line))}.txt").write_text(f"six \\\n ==1\n{line}  # so there\n")
        yield "pip", {"requirements": f"r{abs(hash(line))}.txt"}, "is of the recipe's folder"
    (folder / "away.txt").write_text("-r ../outside/file\n")
    yield "pip", {"requirements": "away.txt"}, "leaves the recipe's folder"
    for name, text in (("old", "{}"), ("bad", "{"), ("odd", '{"packages": [1]}'), ("deep", "[" * 99999)):
        (folder / name).mkdir()
        (folder / name / "package.json").write_text("{}")
        (folder / name / "package-lock.json").write_text(text)
        yield "npm", {"lock": name, "to": "/x"}, "lists no packages"
    (folder / "linked").mkdir()
    (folder / "linked/package.json").write_text("{}")
    (folder / "linked/package-lock.json").write_text(
        '{"packages": {"node_modules/x": {"link": true, "resolved": "../x"}}}'
    )
    yield "npm", {"lock": "linked", "to": "/x"}, "is a link to a folder"
    os.mkfifo(folder / "app2/fifo")
    yield "copy", {"from": "app2", "to": "/x"}, "is neither a file, a folder nor a link"
    yield "make", {"source": "app2", "install": ("install",)}, "is neither a file, a folder nor a link"


def test_what_may_not_be_read_is_refused_with_its_line(folder: Path) -> None:
    count = 0
    for kind, options, message in refusals(folder):
        made = step(folder, kind, options=options)
        with pytest.raises(UsageError) as caught:
            gather(made, Setting("x86_64"))
        assert message in str(caught.value), (kind, options, str(caught.value))
        assert caught.value.brief.startswith(f"{folder}/test.toml:"), caught.value.brief
        count += 1
    assert count >= 40


values = st.one_of(st.text(), st.integers(), st.booleans(), st.lists(st.text()).map(tuple))


@given(st.dictionaries(st.text(), values), st.dictionaries(st.text(), values), st.text(), st.text())
def test_keys_are_equal_only_for_equal_facts(one: dict[str, Any], two: dict[str, Any], p: str, q: str) -> None:
    def typed(facts: dict[str, Any]) -> dict[str, Any]:
        return {label: (type(value), value) for label, value in facts.items()}

    assert (key_of(p, one) == key_of(q, two)) == (p == q and typed(one) == typed(two))


def test_the_shipped_recipes_have_distinct_keys() -> None:
    base = recipe.chain("debian-base", {}, recipe.folders({})[2:])[0]
    assert len({key(one, "") for one in base.steps}) == len(base.steps)


@pytest.mark.parametrize("kind", KINDS)
def test_a_dry_run_says_what_would_be_done_and_does_nothing(folder: Path, kind: str) -> None:
    schema = steps.kind(kind).schema
    options = {name: said for name, said in KINDS[kind][0].items() if said != ""}
    begin = "" if schema.bootstraps != "never" else table("[[step]]", {"tar": {"file": "app.tar"}})
    (folder / "plan.toml").write_text(f"{begin}\n{table('[[step]]', {kind: options})}")
    before = {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}
    *_, made, tree = plan(None, str(folder / "plan.toml"), {}, Wish()).actions
    assert made.title.endswith(f": {kind}") and tree.title == "tree plan"
    assert (made.verb, made.reason) == (tree.verb, tree.reason) == ("make", "not built yet")
    assert {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")} == before
