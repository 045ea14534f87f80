"""Locked builds of the kinds that are not Debian's: the same on two backends, of what was there when it was locked."""

import shutil
from pathlib import Path

import pytest
from offline import arch, borrow, node, perl, python, rpm, ruby
from offline.debian import debian
from offline.perl import Module
from offline.server import serve
from test_kinds import NODE, needs_npm, with_node
from workshop import Elsewhere

EPOCH = 1_750_000_000


@pytest.fixture(autouse=True)
def another_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))


@pytest.fixture
def both(tmp_path: Path) -> Elsewhere:
    return Elsewhere(tmp_path, debian())


@pytest.mark.parametrize("kind", ["dnf", "zypper"])
def test_rpm(both: Elsewhere, tmp_path: Path, kind: str) -> None:
    repository = rpm.fedora().copy(tmp_path / "rpms")
    path = both.here.write(
        f"""
        [[step]]
        [step.{kind}]
        packages = ["busybox", "fedora-release"]
        mirror = "{repository.folder}"
        keyring = "{repository.keyring}"
        release = "40"
        [[step]]
        {kind} = ["hello"]
        """,
        "app",
    )
    both.here.build(path)
    both.lock(path)
    repository.publish("hello", "2.0")
    repository.sign()
    assert both.newer() == [("hello.noarch", "1.0-1", "2.0-1")]
    shutil.rmtree(repository.folder / "repodata")
    tree = both.twice(path)
    assert tree.steps[1]["made"]["packages"] == {"hello.noarch": "1.0-1"}


def test_pacman(both: Elsewhere, tmp_path: Path) -> None:
    repository = arch.arch().copy(tmp_path / "arch")
    path = both.here.write(
        f"""
        [[step]]
        [step.pacman]
        packages = ["busybox"]
        repositories = ["core"]
        mirror = "{repository.folder}"
        keyring = "{repository.keyring}"
        [[step]]
        pacman = ["hello"]
        """,
        "app",
    )
    both.here.build(path)
    both.lock(path)
    repository.publish("hello", "2.0")
    assert both.newer() == [("hello", "1.0-1", "2.0-1")]
    for listed in repository.folder.glob("core.*"):
        listed.unlink()
    tree = both.twice(path)
    assert tree.steps[1]["made"]["packages"] == {"hello": "1.0-1"}


LANGUAGES = """
from = "./base-auto.toml"
[[step]]
apt = ["python3-pip"]
[[step]]
pip = { requirements = "requirements.txt" }
TOOLS
[[step]]
npm = { packages = ["greet"], registry = "URL", to = "/srv/web" }
[[step]]
network = false
gem = { packages = ["greet"], source = "gems" }
[[step]]
network = false
cpan = { packages = ["Greet"], mirror = "cpan" }
[[step]]
run = '''
  python3 -c "import greet, six; print(greet.version)" >/said
  /srv/web/node_modules/.bin/greet >>/said
  greet >>/said
  perl -MGreet -e 'print Greet::said()' >>/said
'''
"""


@needs_npm
@pytest.mark.timeout(1500)
def test_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one tree, and on overlay alone: what it is made of takes the time."""
    both = Elsewhere(tmp_path, debian(), "overlay")
    shop, folder = both.here, both.here.folder
    (folder / "requirements.txt").write_text("greet\n")
    code = "version = '1.0'\nhashed = version in {'a', 'b', 'c', 'd', 'e'}\n"  # whose order is in the .pyc
    wheels, registry = tmp_path / "wheels", tmp_path / "registry"
    python.wheel(wheels / "greet", "greet", "1.0", code, ("six",))
    python.wheel(wheels / "six", "six", "1.16.0")
    ruby.gem(folder / "gems", "polite", "1.0")
    ruby.gem(folder / "gems", "greet", "1.0", 'require "polite"; puts "hello from ruby"\n', ("polite",))
    mirror = perl.mirror(folder / "cpan", [Module("Polite", "1.0"), Module("Greet", "1.0", ("Polite",))])
    for name, made in (("ruby", borrow.ruby()), ("perl", borrow.perl())):
        (folder / f"{name}.tar").write_bytes(made)
    both.here.base()
    tools = with_node(shop) + "".join(f'[[step]]\ntar = {{ file = "{name}.tar" }}\n' for name in ("ruby", "perl"))
    registry.mkdir()
    with serve(registry, tmp_path / "npm") as npm, serve(wheels, tmp_path / "pip") as pip:
        python.index(wheels)
        ruby.index(folder / "gems")
        node.registry(registry, npm.url, "greet", "1.0.0", node.tarball("greet", "1.0.0", NODE))
        monkeypatch.setenv("PIP_INDEX_URL", pip.url)
        path = shop.write(LANGUAGES.replace("TOOLS", tools).replace("URL", npm.url), "app")
        shop.build(path)
        both.lock(path)

        python.wheel(wheels / "greet", "greet", "2.0")
        python.index(wheels)
        node.registry(registry, npm.url, "greet", "2.0.0", node.tarball("greet", "2.0.0", "evil"))
        ruby.gem(folder / "gems", "greet", "2.0", needs=("polite",))
        ruby.index(folder / "gems")
        assert both.newer() == [("greet", "1.0", "2.0"), ("greet", "1.0.0", "2.0.0"), ("greet", "1.0", "2.0")]
        shutil.rmtree(folder / "gems/quick")
        shutil.rmtree(mirror / "modules")
        tree = both.twice(path)
    said = ["1.0", "hello from node", "hello from ruby", "hello from perl"]
    assert shop.read(tree, "/said").splitlines() == said and not both.dated(tree)
    archives = [set(step["made"].get("archives", ())) for step in tree.steps]
    assert archives[2] == {"greet", "six"} and archives[-4] == {"greet"}
    assert archives[-3] == {"greet-1.0", "polite-1.0"} and archives[-2] == {"Greet-1.0", "Polite-1.0"}
    assert [path for path in shop.entries(tree) if path.endswith("greet.cpython-311.pyc")]
    (source,) = {step["made"]["archives"]["greet"]["source"] for step in tree.steps if step["kind"] == "pip"}
    assert source == f"{pip.url}/greet/greet-1.0-py3-none-any.whl"
