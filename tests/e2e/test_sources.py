"""gem, cpan and make at their work, with this machine's own programs in the tree; and all that can go wrong."""

import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from offline import borrow, perl, ruby
from offline.debian import Debian, debian
from offline.perl import Module
from offline.server import serve
from workshop import Workshop

from treesmith.errors import Error
from treesmith.store import Tree, create_store

With = Callable[..., str]


@pytest.fixture(scope="module")
def repository() -> Debian:
    return debian()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the tests here share, so that base and programs are laid down once."""
    path = tmp_path_factory.mktemp("sources") / "store"
    create_store(str(path), "overlay")
    return path


@pytest.fixture
def shop(kept: Path, tmp_path: Path, repository: Debian) -> Workshop:
    return Workshop(create_store(str(kept)), tmp_path / "recipes", repository)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives")
    for name, made in (("ruby", borrow.ruby), ("perl", borrow.perl), ("builders", borrow.builders)):
        (folder / f"{name}.tar").write_bytes(made())
    return folder


@pytest.fixture
def having(shop: Workshop, archives: Path) -> With:
    """Steps that put these of this machine's programs into the tree."""

    def steps(*names: str) -> str:
        for name in names:
            if not (shop.folder / f"{name}.tar").exists():
                os.link(archives / f"{name}.tar", shop.folder / f"{name}.tar")
        return "".join(f'[[step]]\ntar = {{ file = "{name}.tar" }}\n' for name in names)

    return steps


def failing(shop: Workshop, steps: str) -> Error:
    with pytest.raises(Error) as caught:
        shop.make(steps, "fails")
    assert "fails" not in shop.store.names() and not shop.staged()
    assert not list(Path(shop.store.path, "cache").rglob("step/*"))
    return caught.value


def left_over(shop: Workshop, tree: Tree, *where: str) -> list[str]:
    return [path for path in shop.entries(tree) if path.startswith(where)]


# gem


@pytest.fixture(scope="module")
def made_gems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gems")
    ruby.gem(folder, "polite", "1.0")
    for version in ("1.0", "2.0"):
        ruby.gem(folder, "greet", version, f'require "polite"; puts "hello from ruby {version}"\n', ("polite",))
    ruby.gem(folder, "broken", "1.0", extconf='abort "no way to build this"\n')
    plant = 'File.write("#{Dir["/var/lib/gems/*/cache"].first}/greet-2.0.gem", "EVIL")\n'
    ruby.gem(folder, "evil", "1.0", extconf=plant + 'File.write("Makefile", "all clean install:\\n")\n')
    return ruby.index(folder)


@pytest.fixture
def gems(shop: Workshop, made_gems: Path) -> Path:
    (shop.folder / "gems").mkdir()
    for path in made_gems.iterdir():
        if path.name != "src":
            subprocess.run(["cp", "-al", path, shop.folder / "gems"], check=True)
    return shop.folder / "gems"


def test_gem(shop: Workshop, having: With, gems: Path) -> None:
    steps = f"""{having("ruby")}
[[step]]
network = false
gem = {{ packages = ["greet:1.0"], source = "gems" }}
[[step]]
run = "greet >/said"
"""
    tree = shop.make(steps)
    assert shop.read(tree, "/said") == "hello from ruby 1.0\n"
    assert tree.steps[-2]["made"]["packages"] == {"greet": "1.0", "polite": "1.0"} and tree.steps[-2]["pinned"]
    assert not left_over(shop, tree, "root/", "run/") and "tmp/" not in shop.entries(tree)
    assert not [path for path in shop.entries(tree) if path.endswith(".gem")]
    shop.make(steps)
    assert set(shop.verbs()) == {"keep"}
    (gems / "new").touch()
    shop.make(steps)
    assert shop.verbs() == ["keep", "make", "make"]


def test_gem_from_a_server(shop: Workshop, having: With, gems: Path, tmp_path: Path) -> None:
    with serve(gems, tmp_path / "asked") as server:
        tree = shop.make(f'{having("ruby")}[[step]]\ngem = {{ packages = ["greet"], source = "{server.url}" }}\n')
        assert tree.steps[-1]["made"]["packages"]["greet"] == "2.0" and not tree.steps[-1]["pinned"]
        assert "/gems/greet-2.0.gem" in server.asked()


def test_nobody_plants_a_gem(shop: Workshop, having: With, gems: Path, tmp_path: Path) -> None:
    """gem believes what lies among its downloads, if the name is right."""
    with serve(gems, tmp_path / "asked") as server:
        steps = f'{having("ruby", "perl")}[[step]]\ngem = {{ packages = ["PACKAGE"], source = "{server.url}" }}\n'
        shop.make(steps.replace("PACKAGE", "evil"))
        tree = shop.make(steps.replace("PACKAGE", "greet") + '[[step]]\nrun = "greet >/said"\n')
    assert shop.read(tree, "/said") == "hello from ruby 2.0\n"
    assert not list(Path(shop.store.path, "cache").rglob("*.gem"))


def test_gems_that_cannot_be_installed(shop: Workshop, having: With, gems: Path) -> None:
    steps = f'{having("ruby")}[[step]]\ngem = {{ packages = ["PACKAGE"], source = "gems" }}\n'
    for package, says in (
        ("nosuch", "Could not find a valid gem 'nosuch'"),
        ("greet:9", "Could not find a valid gem 'greet' (= 9)"),
        ("broken", "no way to build this"),
    ):
        error = failing(shop, steps.replace("PACKAGE", package))
        assert says in error.details and error.brief.startswith("fails: step 2: gem: gem install failed"), error
    package = gems / "gems/greet-2.0.gem"
    data = bytearray(package.read_bytes())
    package.unlink()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        at = tar.getmember("data.tar.gz").offset_data
    data[at + 20] ^= 1
    package.write_bytes(data)
    assert "greet-2.0.gem" in failing(shop, steps.replace("PACKAGE", "greet")).details
    unreachable = steps.replace('"gems"', '"http://127.0.0.1:9/"').replace("PACKAGE", "greet")
    assert "127.0.0.1:9" in failing(shop, unreachable).details
    assert "gem" in failing(shop, '[[step]]\ngem = { packages = ["greet"], source = "gems" }\n').brief


# cpan


@pytest.fixture
def mirror(shop: Workshop) -> Path:
    modules = (
        Module("Polite::Words", "0.5"),
        Module("Greet", "1.5", ("Polite::Words",)),
        Module("Broken", "1.0", broken="no way to build this"),
    )
    return perl.mirror(shop.folder / "mirror", modules)


def by(program: str, having: With) -> str:
    return having("perl") + ("" if program == "cpanm" else '[[step]]\nrun = "rm /usr/bin/cpanm"\n')


@pytest.mark.parametrize("program", ["cpanm", "cpan"])
def test_cpan(shop: Workshop, having: With, mirror: Path, program: str) -> None:
    steps = f"""{by(program, having)}
[[step]]
network = false
cpan = {{ packages = ["Greet"], mirror = "mirror" }}
[[step]]
run = "perl -MGreet -e 'print Greet::said()' >/said"
"""
    tree = shop.make(steps)
    assert shop.read(tree, "/said") == "hello from perl"
    made = tree.steps[-2]["made"]
    assert made["program"] == program and made["packages"] == {"Greet": "1.5", "Polite::Words": "0.5"}
    assert set(made.get("archives", ())) == ({"Greet-1.5", "Polite-Words-0.5"} if program == "cpanm" else set())
    assert not left_over(shop, tree, "root/", "run/", "tmp/")
    (mirror / "new").touch()
    shop.make(steps)
    assert shop.verbs()[-2:] == ["make", "make"]


@pytest.mark.parametrize("program", ["cpanm", "cpan"])
def test_modules_that_cannot_be_installed(shop: Workshop, having: With, mirror: Path, program: str) -> None:
    steps = f'{by(program, having)}[[step]]\ncpan = {{ packages = ["PACKAGE"], mirror = "mirror" }}\n'
    for package, says in (("No::Such", "No::Such"), ("Broken", "no way to build this")):
        error = failing(shop, steps.replace("PACKAGE", package))
        assert says in str(error) and f"cpan: {program}" in error.brief, error
    unreachable = steps.replace('"mirror"', '"http://127.0.0.1:9/"').replace("PACKAGE", "Greet")
    assert "127.0.0.1:9" in failing(shop, unreachable).details
    version = steps.replace("PACKAGE", "Greet@9")
    error = failing(shop, version)
    assert "takes no versions" in error.brief if program == "cpan" else "Greet" in error.details


def test_cpan_with_neither_program(shop: Workshop, mirror: Path) -> None:
    error = failing(shop, '[[step]]\ncpan = { packages = ["Greet"], mirror = "mirror" }\n')
    assert "the tree has neither cpanm nor cpan" in error.brief and "cpanminus" in error.hint


# make

CONFIGURE = '#!/bin/sh\nset -e\ntest "$1" = --prefix=/opt\necho "prefix = ${1#*=}" >config.mk\n'
MAKEFILE = """\
include config.mk
all: greet
greet: greet.in
\tsed s/WHO/make/ greet.in >greet
fails:
\techo no way to build this >&2; false
install: all
\tmkdir -p $(prefix)/bin
\tcp greet $(prefix)/bin/greet
\tchmod 4755 $(prefix)/bin/greet
"""
FILES = {"configure": CONFIGURE, "Makefile": MAKEFILE, "greet.in": "#!/bin/sh\necho hello from WHO\n"}


@pytest.fixture
def source(shop: Workshop) -> Path:
    """A folder, greet-1.2, and the same as an archive with that folder in it."""
    folder = shop.folder / "greet-1.2"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    with tarfile.open(shop.folder / "greet-1.2.tar.gz", "w:gz") as tar:
        tar.add(folder, "greet-1.2")
    return folder


@pytest.mark.parametrize("which", ["greet-1.2", "greet-1.2.tar.gz"])
def test_make(shop: Workshop, having: With, source: Path, which: str) -> None:
    steps = f"""{having("builders")}
[[step]]
make = {{ source = "{which}", configure = ["--prefix=/opt"] }}
[[step]]
run = "/opt/bin/greet >/said"
"""
    tree = shop.make(steps)
    assert shop.read(tree, "/said") == "hello from make\n"
    assert shop.entries(tree)["opt/bin/greet"].mode == 0o4755
    assert tree.steps[-2]["pinned"] and not left_over(shop, tree, "run/", "tmp/", "root/")
    os.utime(source / "greet.in", (1, 1))
    shop.make(steps)
    assert set(shop.verbs()) == {"keep"}
    assert not list(Path(shop.store.path, "cache").rglob("greet*"))


def test_make_does_not_go_by_the_callers_times(shop: Workshop, having: With, source: Path) -> None:
    """They are in no key: what is made already, and lies in the source, is not made again."""
    (source / "greet").write_text("#!/bin/sh\necho made before\n")
    step = 'make = { source = "greet-1.2", configure = ["--prefix=/opt"] }\n[[step]]\nrun = "/opt/bin/greet >/said"\n'
    for number, time in enumerate((1, 2_000_000_000)):
        os.utime(source / "greet.in", (time, time))
        tree = shop.make(f'{having("builders")}[[step]]\nenv = {{ AGAIN = "{number}" }}\n{step}')
        assert shop.verbs()[-2:] == ["make", "make"] and shop.read(tree, "/said") == "made before\n"


def test_make_what_was_meant(shop: Workshop, having: With, source: Path) -> None:
    digest = hashlib.sha256((shop.folder / "greet-1.2.tar.gz").read_bytes()).hexdigest()
    step = '[[step]]\n[step.make]\nsource = "greet-1.2.tar.gz"\nconfigure = ["--prefix=/opt"]\n'
    tree = shop.make(f'{having("builders")}{step}sha256 = "{digest}"\n')
    assert tree.steps[-1]["made"] == {"sha256": digest}
    error = failing(shop, f'{having("builders")}{step}sha256 = "{"0" * 64}"\n')
    assert "greet-1.2.tar.gz is not the file that was meant" in error.brief and digest in error.details


def test_what_cannot_be_made(shop: Workshop, having: With, source: Path) -> None:
    why = "no way to build"
    for options, brief, details in (
        (
            'configure = ["--prefix=/opt"], targets = ["fails"]',
            "make: make fails failed with status 2",
            "no way to build",
        ),
        ('configure = ["--nonsense"]', "make: configure failed with status 1", ""),
        ('configure = ["--prefix=/opt"], targets = ["nothere"]', "make: make nothere failed", "nothere"),
        ('configure = ["--prefix=/opt"], install = ["fails"]', "make: make fails failed", why),
    ):
        error = failing(shop, f'{having("builders")}[[step]]\nmake = {{ source = "greet-1.2", {options} }}\n')
        assert brief in error.brief and details in error.details, error
    (source / "configure").unlink()
    error = failing(shop, f'{having("builders")}[[step]]\nmake = {{ source = "greet-1.2", configure = ["--x"] }}\n')
    assert "greet-1.2 has no configure" in error.brief
    (shop.folder / "greet-1.2.tar.gz").write_bytes(b"no tar")
    assert "not a tar" in failing(shop, f'{having("builders")}[[step]]\nmake = "greet-1.2.tar.gz"\n').brief


def test_make_a_package(shop: Workshop, having: With, source: Path) -> None:
    step = '[[step]]\n[step.make]\nsource = "greet-1.2"\nconfigure = ["--prefix=/opt"]\npackage = true\n'
    steps = (
        f'{having("perl", "builders")}{step}[[step]]\nrun = "dpkg -S /opt/bin/greet >/said; /opt/bin/greet >>/said"\n'
    )
    tree = shop.make(steps)
    assert shop.read(tree, "/said") == "greet: /opt/bin/greet\nhello from make\n"
    packages = tree.steps[-2]["made"]["packages"]
    assert list(packages.values()) == ["1.2-1"] and next(iter(packages)).startswith("greet:")
    assert not left_over(shop, tree, "run/", "tmp/", "var/tmp/")
    assert shop.entries(tree)["opt/bin/greet"].mode == 0o4755
    gone = shop.make(f'{having("perl", "builders")}{step}[[step]]\nrun = "dpkg -r greet"\n')
    assert "opt/bin/greet" not in shop.entries(gone)
    error = failing(shop, f"{having('perl', 'builders')}{step}install = ['fails']\n")
    assert "checkinstall make fails failed" in error.brief and "no way to build" in error.details


# fpm is in no Debian: this packs what it is told to as fpm would, by the words that fpm has for it.
FPM = """#!/bin/sh -e
test "$1 $2 $3 $4 $5" = "--input-type dir --output-type deb --name"
test "$7 $9 ${11} ${13}" = "--version --iteration --chdir --package" && test "${15}" = .
mkdir -p "${12}/DEBIAN"
printf 'Package: %s\\nVersion: %s-%s\\nArchitecture: all\\nMaintainer: x <x@y.z>\\nDescription: x\\n' \\
    "$6" "$8" "${10}" >"${12}/DEBIAN/control"
dpkg-deb --build "${12}" "${14}"
"""


def with_fpm(shop: Workshop, having: With) -> str:
    (shop.folder / "fpm").write_text(FPM)
    (shop.folder / "fpm").chmod(0o755)
    programs = having("perl", "builders") + '[[step]]\nrun = "rm /usr/bin/checkinstall"\n'
    return f'{programs}[[step]]\ncopy = {{ from = "fpm", to = "/usr/local/bin/fpm" }}\n'


def test_make_a_package_by_fpm(shop: Workshop, having: With, source: Path) -> None:
    step = '[[step]]\n[step.make]\nsource = "greet-1.2"\nconfigure = ["--prefix=/opt"]\npackage = true\n'
    error = failing(shop, with_fpm(shop, having) + step)
    assert "make install installed nothing below DESTDIR" in error.brief and "checkinstall" in error.hint
    makefile = (source / "Makefile").read_text().replace("$(prefix)", "$(DESTDIR)$(prefix)")
    (source / "Makefile").write_text(makefile)
    after = '[[step]]\nrun = "dpkg -S /opt/bin/greet >/said; /opt/bin/greet >>/said"\n'
    tree = shop.make(with_fpm(shop, having) + step + after)
    assert shop.read(tree, "/said") == "greet: /opt/bin/greet\nhello from make\n"
    assert tree.steps[-2]["made"]["packages"] == {"greet:all": "1.2-1"}
    assert shop.entries(tree)["opt/bin/greet"].mode == 0o4755
    assert not left_over(shop, tree, "run/", "tmp/", "var/tmp/")


def test_a_package_with_nobody_to_make_it(shop: Workshop, having: With, source: Path) -> None:
    step = '[[step]]\nmake = { source = "greet-1.2", package = true }\n'
    error = failing(shop, f"{having('perl')}{step}")
    assert "the tree has neither checkinstall nor fpm" in error.brief
    assert 'gem = ["fpm"]' in error.hint and "package = false" in error.hint
    database = '[[step]]\nrun = "rm -r /var/lib/dpkg; mkdir -p /usr/lib/sysimage/rpm'
    error = failing(shop, f'{having("perl")}{database}; echo x >/usr/lib/sysimage/rpm/rpmdb.sqlite"\n{step}')
    assert "the tree has no fpm" in error.brief and "rpm-build" in error.hint
    error = failing(shop, f'{having("perl")}{database}"\n{step}')
    assert "the tree has no package manager to own files" in error.brief
