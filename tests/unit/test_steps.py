"""What the kinds of steps read from files and programs around them, and how kinds are found."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from treesmith import inventory, steps
from treesmith.errors import Error, NotFoundError, UsageError
from treesmith.linux import call
from treesmith.recipe.grammar import ARCHITECTURES
from treesmith.steps import Setting, Step, dnf, gather
from treesmith.steps.debian import (
    KEYRING,
    Source,
    absent,
    architecture,
    archive,
    host_mirror,
    host_sources,
    later,
    line,
)
from treesmith.steps.inputs import Inputs
from treesmith.steps.lines import line_of
from treesmith.steps.network import BUNDLE, outfit
from treesmith.steps.pool import Wanted, keep, lend, wanted
from treesmith.steps.programs import driver
from treesmith.steps.schema import Option, Schema, Type
from treesmith.steps.script import interpreter


def sources(etc: Path, one_line: str = "", deb822: str = "") -> str:
    (etc / "sources.list.d").mkdir(parents=True)
    (etc / "sources.list").write_text(one_line)
    (etc / "sources.list.d/debian.sources").write_text(deb822)
    return str(etc)


ONE_LINE = """\
# deb http://commented/debian bookworm main
deb-src http://source/debian bookworm main
deb [arch=amd64 signed-by=/x.gpg] http://elsewhere/other stable main
deb [ arch=amd64 ] http://one/debian trixie main contrib  # the next one
deb http://two/debian bookworm main
deb incomplete
"""
DEB822 = """\
# what the installer wrote
Types: deb deb-src
URIs: http://off/debian
Suites: bookworm
Enabled: no

Types: deb-src
URIs: http://source/debian
Suites: bookworm

Types: deb
URIs: http://three/debian/
 http://four/debian
Suites: bookworm
 bookworm-updates
Components: main
"""


def test_the_hosts_own_mirror(tmp_path: Path) -> None:
    assert host_mirror("bookworm", "x86_64", str(tmp_path / "nowhere")) == "http://deb.debian.org/debian"
    both = sources(tmp_path / "both", ONE_LINE, DEB822)
    assert [source.uri for source in host_sources(both)] == [
        "http://elsewhere/other", "http://one/debian", "http://two/debian", "http://three/debian/", "http://four/debian",
    ]  # fmt: skip
    assert host_mirror("bookworm", "x86_64", both) == "http://two/debian"
    assert host_mirror("trixie", "x86_64", both) == "http://one/debian"
    assert host_mirror("sid", "x86_64", both) == "http://one/debian"
    new = sources(tmp_path / "new", "", DEB822)
    assert host_mirror("bookworm-updates", "x86_64", new) == "http://three/debian/"
    other = sources(tmp_path / "other", "deb http://archive.ubuntu.com/ubuntu noble main\n")
    assert host_mirror("bookworm", "x86_64", other) == "http://deb.debian.org/debian"


def test_where_a_suite_is(tmp_path: Path) -> None:
    for suite, machine, mirror, keyring in (
        ("bookworm", "x86_64", "http://deb.debian.org/debian", "debian-archive-keyring"),
        ("sid", "riscv64", "http://deb.debian.org/debian", "debian-archive-keyring"),
        ("sid", "loongarch64", "http://deb.debian.org/debian", "debian-archive-keyring"),
        ("sid", "m68k", "http://deb.debian.org/debian-ports", "debian-ports-archive-keyring"),
        ("unreleased", "sh4", "http://deb.debian.org/debian-ports", "debian-ports-archive-keyring"),
        ("buster", "aarch64", "http://archive.debian.org/debian", "debian-archive-removed-keys"),
        ("jammy", "x86_64", "http://archive.ubuntu.com/ubuntu", "ubuntu-archive-keyring"),
        ("jammy", "aarch64", "http://ports.ubuntu.com/ubuntu-ports", "ubuntu-archive-keyring"),
    ):
        assert archive(suite, machine)[:2] == (mirror, f"/usr/share/keyrings/{keyring}.gpg")
        assert host_mirror(suite, machine, str(tmp_path)) == mirror
    assert archive("bookworm", "x86_64").keyring == KEYRING
    ours = sources(tmp_path / "ours", "deb http://one/debian bookworm main\ndeb http://two/ubuntu jammy main\n")
    assert host_mirror("noble", "x86_64", ours) == "http://two/ubuntu"
    assert host_mirror("buster", "x86_64", ours) == "http://archive.debian.org/debian"
    assert host_mirror("sid", "m68k", ours) == "http://deb.debian.org/debian-ports"


def test_lines_of_sources() -> None:
    source = Source("http://x", ("bookworm",))
    assert line(source, ("main", "contrib")) == "deb http://x bookworm main contrib"
    assert line(source, ("main",), ("a=b", "c=d")) == "deb [a=b c=d] http://x bookworm main"
    assert line(Source("http://x", ("./",)), ("main",)) == "deb http://x ./"


def test_debians_words_for_machines() -> None:
    for machine, word in (
        ("x86_64", "amd64"), ("aarch64", "arm64"), ("armv7l", "armhf"), ("i686", "i386"), ("ppc64le", "ppc64el"),
        ("riscv64", "riscv64"), ("loongarch64", "loong64"), ("parisc", "hppa"), ("ppc", "powerpc"), ("sh4", "sh4"),
    ):  # fmt: skip
        assert architecture(machine) == word and ARCHITECTURES[word] == ARCHITECTURES[machine] == machine


def test_what_debian_is_not_there_for(tmp_path: Path) -> None:
    assert "since trixie" in absent("bookworm", "riscv64") and not absent("trixie", "riscv64")
    assert "since forky" in absent("trixie", "loongarch64") and not absent("sid", "loongarch64")
    assert "port to hppa in sid alone" in absent("trixie", "parisc") and not absent("unreleased", "parisc")
    assert not absent("bookworm", "x86_64") and not absent("jammy", "riscv64") and not absent("my-own", "riscv64")
    (tmp_path / "x.toml").write_text('[[step]]\n[step.debootstrap]\nsuite = "bookworm"\n')
    options = {"suite": "bookworm", "components": ("main",), "trust": True}
    made = Step(1, "debootstrap", options, str(tmp_path / "x.toml"), str(tmp_path), network=True)
    with pytest.raises(Error, match=r"no bookworm for riscv64\nDebian is there for riscv64 since trixie"):
        gather(made, Setting("riscv64"))
    elsewhere = made._replace(options={**options, "mirror": "http://x/debian"})
    assert gather(elsewhere, Setting("riscv64")).facts["mirror.used"] == "http://x/debian"


def test_what_a_network_step_takes_along(tmp_path: Path) -> None:
    assert outfit({}) == outfit({"SSL_CERT_FILE": str(tmp_path / "nowhere"), "HOME": "/root", "http_proxy": ""})
    (tmp_path / "a.crt").write_text("a")
    (tmp_path / "b.crt").write_text("b")
    made = outfit(
        {"PIP_CERT": str(tmp_path / "a.crt"), "HTTPS_PROXY": "http://p:1", "no_proxy": "x", "AWS_SECRET": "s"}
    )
    assert made.files == ((BUNDLE, b"a"),) and made.bundle == BUNDLE
    assert made.env["HTTPS_PROXY"] == "http://p:1" and made.env["no_proxy"] == "x" and "AWS_SECRET" not in made.env
    assert {made.env[name] for name in ("SSL_CERT_FILE", "PIP_CERT", "npm_config_cafile")} == {BUNDLE}
    first = {"SSL_CERT_FILE": str(tmp_path / "b.crt"), "PIP_CERT": str(tmp_path / "a.crt")}
    assert outfit(first).files == ((BUNDLE, b"b"),)


def test_the_pool(tmp_path: Path) -> None:
    pool, folder = tmp_path / "pool", tmp_path / "step"
    pool.mkdir()
    folder.mkdir()
    data = b"a package"
    digest = "e" * 64
    said = f"'http://x/a_1%3a2.deb' a_1%3a2.deb 9 SHA256:{digest}\n'http://x/b' ../b 9 SHA256:{digest}\n"
    said += f"'http://x/c' .c 9 SHA256:{digest}\n'http://x/d' d 9 MD5Sum:{'e' * 32}\nReading…\n"
    assert wanted(said) == [Wanted("a_1%3a2.deb", digest, "http://x/a_1%3a2.deb")]
    right, wrong = Wanted("right", hashlib.sha256(data).hexdigest()), Wanted("wrong", digest)
    for file in (right, wrong):
        (folder / file.name).write_bytes(data)
    (folder / "link").symlink_to("/etc/passwd")
    link = Wanted("link", hashlib.sha256(Path("/etc/passwd").read_bytes()).hexdigest())
    keep(str(pool), [right, wrong, link, Wanted("missing", digest)], str(folder))
    assert [path.name for path in pool.iterdir()] == [right.digest]
    lend(str(pool), [right, wrong], str(folder))
    lent = folder / "right"
    assert lent.read_bytes() == data and lent.stat().st_nlink == 1, "the step may write to it, not to the pool"
    (pool / right.digest).write_bytes(b"something else")
    lent.unlink()
    lend(str(pool), [right], str(folder))
    assert not lent.exists()


def test_what_is_installed() -> None:
    assert inventory.python("flask==3.0\n# a comment\n-e git+x\nsix @ file:///x.whl\nodd\n") == {
        "flask": "3.0", "six": "file:///x.whl",
    }  # fmt: skip
    lock = '{"packages": {"": {"version": "1"}, "node_modules/a": {"version": "2"}, "node_modules/b": {}}}'
    assert inventory.node(lock) == {"a": "2"}
    assert inventory.node('{"dependencies": {"npm": {"version": "9"}, "x": 1}}') == {"npm": "9"}
    assert [inventory.node(text) for text in ("", "[]", "nonsense", '{"packages": 1}')] == [{}] * 4
    assert inventory.added({"a": "1", "b": "1"}, {"a": "1", "b": "2", "c": "1"}) == {"b": "2", "c": "1"}


@pytest.mark.parametrize(
    ("first", "argv"),
    [
        (b"#!/bin/bash\nx", ["/bin/bash"]),
        (b"#! /usr/bin/env -S perl -w \r\nx", ["/usr/bin/env", "-S perl -w"]),
        (b"echo", ["/bin/sh", "-e"]),
        (b"", ["/bin/sh", "-e"]),
        (b"#!\n", ["/bin/sh", "-e"]),
    ],
)
def test_interpreters(first: bytes, argv: list[str]) -> None:
    assert interpreter(first) == argv


TOML = """\
description = '''
[[step]]
'''
from = "x"

[[step]]
run = \"\"\"
name = 1
[vars]
\"\"\"
env = { A = "1" }

[[step]]   # the second
[step.apt]
packages = [
  "a = b",
]
"recommends" = true
[vars]
a.b = 1
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("from",), 4),
        (("step", 0), 6),
        (("step", 0, "run"), 7),
        (("step", 0, "env", "A"), 11),
        (("step", 1), 13),
        (("step", 1, "apt"), 14),
        (("step", 1, "apt", "packages"), 15),
        (("step", 1, "apt", "recommends"), 18),
        (("step", 1, "apt", "nowhere"), 14),
        (("vars", "a", "b"), 20),
        (("nowhere",), 1),
        ((), 1),
    ],
)
def test_lines(path: tuple[str | int, ...], line: int) -> None:
    assert line_of(TOML, path) == line


@pytest.mark.parametrize(
    ("type", "right", "wrong"),
    [
        ("string", ["", "x"], [1, True, ("x",), "a\0b"]),
        ("int", [0, -1], ["1", True]),
        ("bool", [True], [1, "true"]),
        ("strings", [(), ("x", "y")], ["x", ("x\0",)]),
        ("command", ["x", ("x",)], [(), 1, True]),
        ("file", ["x", "../x"], ["", "/x", ("x",)]),
        ("source", ["x", "/x", "http://x"], [1]),
        ("path", ["/", "/x/.y"], ["x", "/x/../y", ""]),
        ("mode", ["0755", "4755", "0"], ["", "888", "77777", 755, "+755"]),
    ],
)
def test_types_of_options(type: Type, right: list[Any], wrong: list[Any]) -> None:
    assert not [value for value in right if Option(type, "").wrong(value)]
    assert all(Option(type, "").wrong(value).startswith(("must be ", "may not")) for value in wrong)


def test_kinds_of_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A module named by an entry point is a kind; built-in names are not for others."""
    (tmp_path / "acme_steps.py").write_text(
        "from treesmith.steps import Inputs, Schema\n"
        "schema = Schema('acme-sign', 'signs', {})\n"
        "def inputs(step, setting): return Inputs({'seen': 'x'}, True)\n"
        "def run(step, room): return {}\n"
    )
    info = tmp_path / "acme-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    names = "".join(f"{name} = acme_steps\n" for name in ("acme-sign", "nohyphen", "run"))
    (info / "entry_points.txt").write_text(f"[treesmith.steps]\n{names}")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert steps.kind("run").schema.kind == "run"
    for name in ("nohyphen", "nosuch"):
        with pytest.raises(NotFoundError, match="no kind of step"):
            steps.kind(name)
    assert steps.known_kinds() == [*steps.BUILT_IN, "acme-sign"]
    made = steps.Step(1, "acme-sign", {}, "/x.toml", "/")
    facts = steps.gather(made, steps.Setting("x86_64")).facts
    assert facts["seen"] == "x" and facts["step.kind"] == "acme-sign"


def test_every_built_in_kind_is_whole() -> None:
    for name in steps.BUILT_IN:
        kind = steps.kind(name)
        assert isinstance(kind.schema, Schema) and kind.schema.kind == name and "-" not in name
        assert not kind.schema.main or kind.schema.main in kind.schema.options
        assert all(option.help and "." not in label for label, option in kind.schema.options.items())
        defaults = {
            label: option.default for label, option in kind.schema.options.items() if option.default is not None
        }
        assert not [label for label, value in defaults.items() if kind.schema.options[label].wrong(value)]


def test_an_error_names_the_recipes_line(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('[[step]]\n\n[step.pip]\nvenv = "/v"\n')
    made = steps.Step(1, "pip", {"venv": "/v"}, str(path), str(tmp_path))
    with pytest.raises(UsageError, match=rf"{path}:3: step 1: pip: pip needs packages or requirements"):
        steps.gather(made, steps.Setting("x86_64", (Inputs({}, True),)))


def test_what_came_out_later_lies_beside_the_release(tmp_path: Path) -> None:
    def places(mirror: str, suite: str) -> list[tuple[str, str]]:
        return [(source.uri, source.suites[0]) for source in later(mirror, suite)]

    assert places("http://x/debian", "bookworm") == [
        ("http://x/debian", "bookworm-updates"),
        ("http://x/debian-security", "bookworm-security"),
    ]
    assert places("http://x/ubuntu/", "noble") == [
        ("http://x/ubuntu/", "noble-updates"),
        ("http://x/ubuntu", "noble-security"),
    ]
    assert places("http://x/debian", "buster")[1] == ("http://x/debian-security", "buster/updates")
    snapshot = "http://x/archive/debian/20250520T000000Z"
    assert places(snapshot, "bookworm") == [
        (snapshot, "bookworm-updates"),
        ("http://x/archive/debian-security/20250520T000000Z", "bookworm-security"),
    ]
    assert not places("http://x/debian", "sid")
    for ports in ("http://x/debian-ports", "http://x/debian-ports/", "http://x/archive/debian-ports/20250520T000000Z"):
        assert places(ports, "sid") == [(ports, "unreleased")] and not places(ports, "unreleased")
    (tmp_path / "dists/bookworm-security").mkdir(parents=True)
    assert places(f"file://{tmp_path}", "bookworm") == [(f"file://{tmp_path}", "bookworm-security")]


def test_which_packages_a_step_brought() -> None:
    def step(kind: str, *packages: str, **inputs: str) -> dict[str, Any]:
        return {"kind": kind, "inputs": inputs, "made": {"packages": dict(one.split("=") for one in packages)}}

    record = [
        step("apt", "a=1", "b=1"),
        {"kind": "run", "made": {}},
        step("apt", "a=2"),
        step("pip", "a=2", venv="/v"),
        step("pip", "a=2", "b=1", venv="/v"),
        step("pip", "a=2", venv="/w"),
    ]
    brought = [{"a": "1", "b": "1"}, None, {"a": "2"}, {"a": "2"}, {"b": "1"}, {"a": "2"}]
    assert inventory.changes(record) == brought


def test_what_is_asked_of_dnf_4_and_5() -> None:
    """5 keeps root's downloads where system_cachedir says, and takes cachedir for other users'."""
    four, five = (set(dnf.command(name, "40", call.machine, ["install", "a"])) for name in ("dnf", "dnf5"))
    downloads = "cachedir=/var/cache/treesmith/dnf"
    assert four - five == {"dnf", f"--setopt={downloads}"}
    assert five - four == {"dnf5", f"--setopt=system_{downloads}"}
    assert {"install", "a", "--releasever=40"} <= four
    assert "--forcearch=m68k" in dnf.command("dnf5", "40", "m68k", [])


def test_what_to_install_where_a_program_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[[step]]\nx = {}\n")
    for name, hint in (("nosuch-x", "apt install nosuch-x"), ("dnf5", "Debian has no package of it")):
        step = steps.Step(1, "x", {}, str(path), str(tmp_path), driver=name)
        with pytest.raises(UsageError, match=f"{name} is not installed") as caught:
            driver(step, steps.kind("dnf").schema)
        assert hint in caught.value.hint
