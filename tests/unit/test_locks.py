"""Locks as values: what a file says, what fits it, and what archives are."""

import gzip
import io
import json
import lzma
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from treesmith import steps
from treesmith.build import lock_path
from treesmith.errors import Error, UsageError
from treesmith.inventory import (
    Archive,
    arch_archives,
    archives,
    explained,
    node_archives,
    python_archives,
    python_versions,
    recorded,
    rpm_archives,
    simulated,
)
from treesmith.plan.lock import check, fitted, locked, parse, text
from treesmith.recipe import Recipe
from treesmith.steps import Inputs, Setting, Step, loose
from treesmith.steps.debs import called, listed
from treesmith.steps.settle import settle
from treesmith.steps.step import Lock

DIGEST = "sha256:" + "a" * 64


def chain(*kinds: str, **options: Any) -> tuple[Recipe, ...]:
    own = tuple(Step(number, kind, options, "/r/app.toml", "/r") for number, kind in enumerate(kinds, 1))
    return (Recipe("app", "/r/app.toml", "", "x86_64", None, {"v": ("a", "b")}, own, {}, "digest"),)


def gathered(one: tuple[Recipe, ...]) -> list[list[Inputs]]:
    return [[steps.gather(step, Setting("x86_64")) for step in recipe.steps] for recipe in one]


MADE = {"packages": {"hello:amd64": "1.0"}, "archives": {"hello:amd64": {"digest": DIGEST, "source": "http://x/h.deb"}}}


def test_a_lock_says_what_it_was_made_of() -> None:
    one = locked(chain("apt", packages=("hello",)), [MADE], 1000)
    said = text(one, gathered(one), 1000)
    found = parse(said.encode(), "app.lock")
    assert (found.recipe, found.set, found.arch, found.epoch) == ("app", {"v": ("a", "b")}, "x86_64", 1000)
    assert found.steps[0]["made"] == MADE and found.steps[0]["inputs"]["packages"] == ["hello"]
    again = fitted(found, chain("apt", packages=("hello",)))
    assert again == one
    check(found, again, gathered(again))
    other = fitted(found, chain("apt", packages=("hello", "more")))
    with pytest.raises(Error, match=r"app: step 1: apt: packages \+= more"):
        check(found, other, gathered(other))
    with pytest.raises(Error, match="step 1 of all is app run, there app apt"):
        fitted(found, chain("run"))
    with pytest.raises(Error, match="it is for x86_64, and this is aarch64"):
        fitted(found, tuple(recipe._replace(arch="aarch64") for recipe in chain("apt")))


def test_the_lock_is_in_the_key_and_pins() -> None:
    free, *others = (
        steps.gather(step, Setting("x86_64"))
        for one in (
            chain("apt", packages=("hello",)),
            locked(chain("apt", packages=("hello",)), [MADE], 1000),
            locked(chain("apt", packages=("hello",)), [MADE], 1001),
            locked(chain("apt", packages=("hello",)), [{**MADE, "packages": {}}], 1000),
        )
        for step in one[0].steps
    )
    assert len({str(sorted(inputs.facts.items())) for inputs in others}) == 3
    assert all(inputs.pinned and "step.lock" in inputs.facts for inputs in others) and "step.lock" not in free.facts


def test_what_no_lock_holds() -> None:
    for one, made, why in (
        (chain("apt", packages=("hello",)), {"packages": {"a:all": "1"}}, "where it got a:all is not known"),
        (chain("package", source="greet"), {"packages": {}}, "where it got the source of greet is not known"),
        (
            chain("package", source="greet"),
            {
                "packages": {"a:all": "1", "b:all": "1"},
                "built": {"b:all": "x"},
                "archives": {"g.dsc": {"digest": DIGEST, "source": "http://x/g.dsc"}},
            },
            "where it got a:all is not known",
        ),
        (chain("npm", packages=("greet",)), {"packages": {"greet": "1"}}, "npm keeps no lock"),
        (chain("pip", packages=("greet",)), {"packages": {"greet": "1"}}, "what its pip fetched is not known"),
        (chain("pip", packages=("x",)), {"archives": {}, "unpinned": ["x"]}, "x: neither a wheel"),
    ):
        with pytest.raises(Error, match=why):
            text(held := locked(one, [made], 1), gathered(held), 1)
    for kind, why in (("nix", "contents of its closure are not known"), ("ansible", "a playbook may fetch anything")):
        (recipe,) = chain(kind)
        assert why in loose(recipe.steps[0]._replace(lock=Lock(1, {}), network=True))
    assert not loose(recipe.steps[0]._replace(lock=Lock(1, {}), network=False))
    assert not loose(chain("nix")[0].steps[0]._replace(lock=Lock(1, {"closure": {"a": "sha256:x"}}), network=True))
    (recipe,) = chain("run", command="true")
    held = locked([recipe._replace(steps=(recipe.steps[0]._replace(network=True),))], [{}], 1)
    with pytest.raises(Error, match=r"app: step 1: run cannot be locked\nit has a network"):
        text(held, gathered(held), 1)


def test_where_a_lock_is(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    for path in ("one.toml", "app/recipe.toml"):
        (tmp_path / path).touch()
    assert lock_path(str(tmp_path / "one.toml")) == str(tmp_path / "one.lock")
    assert lock_path(str(tmp_path / "app")) == str(tmp_path / "app/app.lock")
    with pytest.raises(UsageError, match=r"debian-base comes with treesmith.*\n.*--output FILE"):
        lock_path("debian-base")


def test_what_is_no_lock() -> None:
    head = {"version": 1, "recipe": "a", "set": {}, "arch": "x86_64", "epoch": 1}
    for wrong in (
        {},
        head,
        {**head, "steps": [{"recipe": "a"}]},
        {**head, "steps": 3},
        {**head, "epoch": "x", "steps": []},
    ):
        with pytest.raises(UsageError, match="x is no lock"):
            parse(json.dumps(wrong).encode(), "x")
    with pytest.raises(UsageError, match="another version, 2"):
        parse(json.dumps({**head, "steps": [], "version": 2}).encode(), "x")


def test_archives() -> None:
    archive = Archive(DIGEST, "http://x/pool/a_1%2b2_all.deb?signed")
    assert archive.file == "a_1+2_all.deb" and called(archive) == "a" * 64 + ".deb"
    assert archives({"archives": recorded({"a:all": archive, "b:all": archive}, ["a:all"])}) == {"a:all": archive}
    private = Archive(archive.digest, "https://me:password@host:81/a.deb")
    assert recorded({"a": private}, ["a"])["a"]["source"] == "https://host:81/a.deb"
    for wrong in (
        {"digest": "md5:x", "source": "http://x/y"}, {"digest": DIGEST}, {"digest": DIGEST, "source": "http://x/"}, "x",
        {"digest": DIGEST, "source": "http://x/.."}, {"digest": DIGEST, "source": "http://x/a%2fb"},
    ):  # fmt: skip
        with pytest.raises(Error, match="what is said of a is no archive"):
            archives({"archives": {"a": wrong}})


def test_what_pip_and_npm_fetched() -> None:
    def entry(name: str, url: str, **more: Any) -> dict[str, Any]:
        return {"metadata": {"name": name, "version": "1"}, "download_info": {"url": url, **more}}

    hashed = {"archive_info": {"hash": "sha256=" + "a" * 64}}
    report = {
        "install": [
            entry("wheel", "http://x/wheel-1-py3-none-any.whl#sha256=1", **hashed),
            entry("source", "http://x/source-1.tar.gz", **hashed), entry("git", "http://x/y", vcs_info={}),
        ]
    }  # fmt: skip
    brought = python_archives(json.dumps(report).encode())
    assert brought.archives == {"wheel": Archive(DIGEST, "http://x/wheel-1-py3-none-any.whl")}
    assert brought.unpinned == ["source", "git"]
    packages = {
        "": {}, "node_modules/a": {"resolved": "https://r/a.tgz", "integrity": "sha1-xx sha512-" + "A" * 86 + "=="},
        "node_modules/b": {"resolved": "file:b.tgz"}, "node_modules/a/node_modules/c": {"inBundle": True},
        "node_modules/d": {"resolved": "git+ssh://x/y"},
    }  # fmt: skip
    brought = node_archives(json.dumps({"packages": packages}))
    assert brought.archives == {"a": Archive("sha512:" + "0" * 128, "https://r/a.tgz")} and brought.unpinned == ["d"]


PRIMARY = """<?xml version="1.0"?><metadata>
<package type="rpm"><name>hello</name><checksum type="sha256" pkgid="YES">{}</checksum>
<location xml:base="" href="p/hello-1.0-1.noarch.rpm"/></package>
<package type="rpm"><checksum type="sha256" pkgid="YES">{}</checksum>
<location href="c%2b%2b-2-1.fc40.x86_64.rpm"/></package>
</metadata>"""


def test_what_dnf_and_pacman_fetched(tmp_path: Path) -> None:
    text = PRIMARY.format("a" * 64, "b" * 64).encode()
    packages = {"hello.noarch": "1.0-1", "c++.x86_64": "1:2-1.fc40", "gone.noarch": "1-1"}
    for data in (text, gzip.compress(text), lzma.compress(text)):
        assert rpm_archives(data, "http://m/", packages) == {
            "hello.noarch": Archive(DIGEST, "http://m/p/hello-1.0-1.noarch.rpm"),
            "c++.x86_64": Archive("sha256:" + "b" * 64, "http://m/c%2B%2B-2-1.fc40.x86_64.rpm"),
        }
    sync = tmp_path / "var/lib/pacman/sync"
    sync.mkdir(parents=True)
    for name, digest in (("core", "a"), ("extra", "b")):
        said = f"%FILENAME%\nhello-1-1.pkg\n\n%NAME%\nhello\n\n%VERSION%\n1-1\n\n%SHA256SUM%\n{digest * 64}\n".encode()
        with tarfile.open(sync / f"{name}.db", "w:gz") as tar:
            member = tarfile.TarInfo("hello-1-1/desc")
            member.size = len(said)
            tar.addfile(member, io.BytesIO(said))
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        found = arch_archives(root, {"core": "http://m/core", "extra": "http://m/extra"}, {"hello": "1-1", "x": "1-1"})
    finally:
        os.close(root)
    assert found == {"hello": Archive(DIGEST, "http://m/core/hello-1-1.pkg")}


def test_what_would_be_newer() -> None:
    said = "NOTE: simulated\nInst hello [1.0] (2.0 test:sid [amd64])\nInst new (1 test:sid [all])\n"
    said += "Inst libc6:i386 [2] (1:3+b1 Debian:12/stable, Debian-Security:12 [i386]) [x:y ]\n"
    said += "Conf hello (2.0 test [amd64])\n"
    assert simulated(said) == {"hello:amd64": "2.0", "libc6:i386": "1:3+b1"}
    assert explained("Gems to install:\n  polite-1.0\n  a-b-2.0.rc1\n") == {"polite": "1.0", "a-b": "2.0.rc1"}
    assert python_versions(b'{"install": [{"metadata": {"name": "x", "version": "2"}}]}') == {"x": "2"}
    assert python_versions(b"") == {}


LIST = """\
Package: hello
Architecture: amd64
Version: 1.0
Priority: required
Filename: pool/h.deb
SHA256: {}

Package: hello
Architecture: amd64
Version: 2.0
Filename: pool/h2.deb
SHA256: {}

Package: other
Architecture: all
Version: 1.0
"""


def test_where_a_bootstrap_got_packages(tmp_path: Path) -> None:
    lists = tmp_path / "var/lib/apt/lists"
    lists.mkdir(parents=True)
    (lists / "m_debian_dists_sid_main_binary-amd64_Packages").write_text(LIST.format("a" * 64, "b" * 64))
    (lists / "m_debian_dists_sid_InRelease").write_text("Package: hello")
    (lists / "evil_Packages").symlink_to("/etc/passwd")
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        found = listed(root, ["http://other/debian", "http://m/debian/"], {"hello:amd64": "1.0", "gone:all": "1"})
    finally:
        os.close(root)
    assert {name: tuple(one) for name, one in found.items()} == {
        "hello:amd64": (Archive(DIGEST, "http://m/debian/pool/h.deb"), "required")
    }


def test_what_is_settled(tmp_path: Path) -> None:
    for name, content in (
        ("var/log/apt/history.log", "x"), ("var/cache/man/index.db", "x"), ("old", "x"), ("new", "x"),
        ("etc/shadow", "a:!:9:0\nme:!:20000:0:99999:7:::\nodd\n"),
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "var/log/link").symlink_to("/etc/hostname")
    (tmp_path / "etc/shadow-").symlink_to("/etc/shadow")
    os.utime(tmp_path / "old", (5, 5))
    host = Path("/etc/shadow").stat().st_mtime_ns
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        settle(root, 86400 * 10)
    finally:
        os.close(root)
    assert (tmp_path / "etc/shadow").read_text() == "a:!:9:0\nme:!:10:0:99999:7:::\nodd\n"
    assert (tmp_path / "var/log/apt/history.log").read_text() == "" and not list((tmp_path / "var/cache/man").iterdir())
    times = {path: path.lstat().st_mtime for path in [tmp_path, *tmp_path.rglob("*")]}
    assert times.pop(tmp_path / "old") == 5 and set(times.values()) == {864000}
    assert Path("/etc/shadow").stat().st_mtime_ns == host
