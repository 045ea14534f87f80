"""Each kind of step at its work: in the sandbox, on a real store, from repositories that need no network."""

import io
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from offline import deb, node, python
from offline.debian import ARCHITECTURE, Debian, debian, hello, packages
from offline.server import Server, serve
from workshop import Heard, Workshop

from treesmith.build import build
from treesmith.compare.differences import differences
from treesmith.compare.walk import walk
from treesmith.errors import Error, UsageError
from treesmith.plan import Wish
from treesmith.store import create_store

OWN = ("mtime", "size", "digest")  # what two bootstraps may differ in: logs, times, the order of a database


@pytest.fixture(scope="session")
def repository() -> Debian:
    return debian()


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the tests here share, so that the base is made once."""
    path = tmp_path_factory.mktemp("kinds") / "store"
    create_store(str(path), "overlay")
    return path


@pytest.mark.parametrize("driver", ["debootstrap", "mmdebstrap"])
def test_on_plain_copies(tmp_path: Path, repository: Debian, driver: str) -> None:
    shop = Workshop(create_store(str(tmp_path / "store"), "copy"), tmp_path / "recipes", repository)
    base = shop.base(driver)
    path = shop.write(f'from = "./{base.name}"\n[[step]]\napt = ["hello"]\n[[step]]\nrun = "hello >/said"\n')
    tree = shop.build(path)
    assert shop.read(tree, "/said") == "hello from conf of 1.0\n"
    assert "usr/sbin/policy-rc.d" not in shop.entries(tree) and not shop.staged()


@pytest.fixture
def shop(kept: Path, tmp_path: Path, repository: Debian) -> Workshop:
    return Workshop(create_store(str(kept)), tmp_path / "recipes", repository)


@pytest.fixture
def alone(tmp_path: Path, repository: Debian) -> Workshop:
    """A workshop with a store of its own."""
    store = create_store(str(tmp_path / "store"), "overlay")
    return Workshop(store, tmp_path / "recipes", repository.copy(tmp_path / "repo"))


# debootstrap


@pytest.mark.parametrize("driver", ["debootstrap", "mmdebstrap"])
def test_a_base(shop: Workshop, driver: str) -> None:
    tree = shop.build(shop.base(driver, 'include = ["hello"]'))
    made = tree.steps[0]["made"]
    assert made["driver"].startswith(f"{driver} ") and made["packages"]["hello:" + made_arch(shop)] == "1.0"
    assert "apt:" + made_arch(shop) in made["packages"]
    assert shop.read(tree, "/etc/os-release").startswith('PRETTY_NAME="Debian of the tests"')
    assert shop.read(tree, "/var/lib/hello.post") == "post configure\n"
    assert shop.read(tree, "/etc/apt/sources.list") == (
        f"deb [signed-by=/etc/apt/keyrings/key.gpg] file://{shop.debian.folder} bookworm main\n"
    )
    key = shop.read(tree, "/etc/apt/keyrings/key.gpg").encode(errors="surrogateescape")
    assert key == shop.debian.keyring.read_bytes()
    there = shop.entries(tree)
    for path in (
        "debootstrap",
        "etc/resolv.conf",
        "etc/hostname",
        "var/log/bootstrap.log",
        "etc/apt/apt.conf.d/99mmdebstrap",
    ):
        assert path not in there
    for folder in ("var/cache/apt/archives", "var/lib/apt/lists", "run", "tmp", "dev"):
        files = [path for path, entry in there.items() if path.startswith(f"{folder}/") and entry.type != "directory"]
        assert not files
    assert not shop.staged()


@pytest.mark.parametrize("driver", ["debootstrap", "mmdebstrap"])
def test_what_came_out_after_the_release(alone: Workshop, driver: str) -> None:
    more = 'include = ["hello"]\nupdates = true'
    arch = made_arch(alone)
    released = alone.build(alone.base(driver, more))
    assert released.steps[0]["made"]["packages"][f"hello:{arch}"] == "1.0"
    deb.repository(alone.debian.folder, [hello("1.5")], "bookworm-updates", ARCHITECTURE, alone.debian.key)
    deb.repository(alone.debian.folder, [hello("1.6")], "bookworm-security", ARCHITECTURE, alone.debian.key)
    tree = alone.build(alone.base(driver, more))
    assert tree.steps[0]["made"]["packages"][f"hello:{arch}"] == "1.6"
    sources = [line.split()[-2] for line in alone.read(tree, "/etc/apt/sources.list").splitlines()]
    assert sources == ["bookworm", "bookworm-updates", "bookworm-security"]
    for folder in ("var/cache/apt/archives", "var/lib/apt/lists"):
        entries = alone.entries(tree).items()
        assert not [path for path, entry in entries if path.startswith(f"{folder}/") and entry.type != "directory"]
    assert alone.read(alone.build(alone.base(driver, 'include = ["hello"]')), "/etc/hello.conf") == "conf of 1.0\n"


@pytest.mark.parametrize("driver", ["debootstrap", "mmdebstrap"])
def test_a_port_with_what_it_has_alone(alone: Workshop, tmp_path: Path, driver: str) -> None:
    ports = tmp_path / "debian-ports"
    deb.repository(ports, packages(), "sid", ARCHITECTURE, alone.debian.key)
    deb.repository(ports, [hello("1.6")], "unreleased", ARCHITECTURE, alone.debian.key)
    text = alone.base(driver, 'include = ["hello"]\nupdates = true').read_text()
    path = alone.write(text.replace('"bookworm"', '"sid"').replace(str(alone.debian.folder), str(ports)), "port")
    tree = alone.build(path)
    assert tree.steps[0]["made"]["packages"][f"hello:{ARCHITECTURE}"] == "1.6"
    assert tree.steps[0]["made"]["suites"] == ["sid", "unreleased"] and tree.steps[0]["pinned"]


def made_arch(shop: Workshop) -> str:
    return next(path.name.rpartition("-")[2] for path in shop.debian.folder.glob("dists/bookworm/main/binary-*"))


def test_both_drivers_make_nearly_the_same(shop: Workshop) -> None:
    trees = [shop.build(shop.base(driver)) for driver in ("debootstrap", "mmdebstrap")]
    with shop.root(trees[0]) as one, shop.root(trees[1]) as two:
        found = {str(one.path) for one in differences(walk(one), walk(two), OWN)}
    loose = ("etc/ld.so.cache", "etc/localtime", "etc/fstab", "var/")
    # Links that one makes where there is nothing to link to.
    found -= {"lib32", "libx32", "usr/lib32", "usr/libx32"}
    assert not [path for path in found if not path.startswith(loose)]


@pytest.mark.parametrize("driver", ["debootstrap", "mmdebstrap"])
def test_signatures(alone: Workshop, driver: str, tmp_path: Path) -> None:
    other = deb.Key(tmp_path / "gpg")
    other.export(tmp_path / "other.gpg")
    text = alone.base(driver).read_text()
    strange = text.replace(str(alone.debian.keyring), str(tmp_path / "other.gpg"))
    with pytest.raises(Error, match=driver):
        alone.build(alone.write(strange, "strange"))
    assert not alone.store.names() and not alone.staged()
    release = alone.debian.folder / "dists/bookworm"
    (release / "InRelease").unlink()
    (release / "Release.gpg").unlink()
    with pytest.raises(Error):
        alone.build(alone.write(text, "unsigned"))
    assert not alone.store.names() and not alone.staged()
    tree = alone.build(alone.write(text + "trust = true\n", "trusted"))
    assert "[trusted=yes]" in alone.read(tree, "/etc/apt/sources.list")


@pytest.mark.parametrize("driver", ["debootstrap", "mmdebstrap"])
def test_a_package_that_was_tampered_with(alone: Workshop, driver: str) -> None:
    package = next(alone.debian.folder.glob("pool/busybox_*"))
    data = bytearray(package.read_bytes())
    data[-1000] ^= 1
    package.write_bytes(data)
    with pytest.raises(Error):
        alone.build(alone.base(driver))
    assert not alone.store.names() and not alone.staged()


@pytest.mark.parametrize("driver", ["debootstrap", "mmdebstrap"])
def test_what_a_base_cannot_be_made_of(alone: Workshop, driver: str) -> None:
    for wrong, message in (
        ('include = ["nosuch"]', "nosuch"),
        ('include = ["badpost"]', "badpost"),
        ('components = ["nothere"]', "valid components" if driver == "debootstrap" else "nothere"),
    ):
        with pytest.raises(Error) as caught:
            alone.build(alone.base(driver, wrong))
        assert message in str(caught.value) and "the whole log: " in caught.value.hint
    unreachable = alone.base(driver).read_text().replace(f"file://{alone.debian.folder}", "http://127.0.0.1:9")
    with pytest.raises(Error, match="the whole log"):
        alone.build(alone.write(unreachable, "unreachable"))
    assert not alone.store.names() and not alone.staged()


def test_a_mirror_that_moved_on_is_noticed(alone: Workshop) -> None:
    alone.build(alone.base())
    alone.build(alone.base())
    assert alone.verbs() == ["keep"]
    alone.debian.publish(hello("2.0"))
    alone.build(alone.base())
    assert alone.verbs() == ["make"] and alone.plan and "mirror.lists" in alone.plan.actions[0].reason


# apt


def test_apt(shop: Workshop) -> None:
    tree = shop.make('[[step]]\napt = ["hello", "daemon", "fond"]\n')
    arch = made_arch(shop)
    assert tree.steps[-1]["made"]["packages"] == {f"hello:{arch}": "1.0", f"daemon:{arch}": "1", f"fond:{arch}": "1"}
    assert shop.read(tree, "/var/lib/daemon.policy") == "101\n"  # its service was not to be started
    assert shop.read(tree, "/etc/hello.conf") == "conf of 1.0\n"
    there = shop.entries(tree)
    assert "usr/sbin/policy-rc.d" not in there and str(shop.debian.folder).lstrip("/") not in there
    for folder in ("var/cache/apt", "var/lib/apt/lists", "run"):
        assert not [path for path, entry in there.items() if path.startswith(f"{folder}/") and entry.type == "file"]
    assert not list(Path(shop.store.path, "cache/archives").glob("step"))


def test_recommended_packages_are_asked_for(shop: Workshop) -> None:
    arch = made_arch(shop)
    without = shop.make('[[step]]\napt = ["fond"]\n').steps[-1]["made"]["packages"]
    with_them = shop.make('[[step]]\napt = { packages = ["fond"], recommends = true }\n').steps[-1]["made"]["packages"]
    assert set(without) == {f"fond:{arch}"} and set(with_them) == {f"fond:{arch}", f"hello:{arch}"}


@pytest.mark.parametrize(
    ("package", "says"),
    [
        ("nosuch", "Unable to locate package nosuch"),
        ("badpost", "oops"),
        ("unmet", "nothere"),
        ("hello=9", "Version '9' for 'hello' was not found"),
    ],
)
def test_packages_that_cannot_be_installed(shop: Workshop, package: str, says: str) -> None:
    before = shop.store.names()
    with pytest.raises(Error) as caught:
        shop.make(f'[[step]]\napt = ["{package}"]\n', "fails")
    assert caught.value.brief.startswith("fails: step 1: apt: apt-get ")
    assert says in caught.value.details
    log = caught.value.hint.rpartition(" ")[2]
    assert says in Path(log).read_text()
    assert {name for name in shop.store.names() if name not in before} <= {"base-auto"} and not shop.staged()


@pytest.fixture
def web(alone: Workshop, tmp_path: Path) -> Iterator[tuple[Workshop, Server]]:
    """A workshop whose mirror is a web server."""
    with serve(alone.debian.folder, tmp_path / "asked") as server:
        yield alone, server


def over_http(shop: Workshop, server: Server, name: str, steps: str) -> Path:
    text = shop.base().read_text().replace(f"file://{shop.debian.folder}", server.url)
    return shop.write(f"{text}\n{steps}", name)


def test_downloads_are_kept_for_all(web: tuple[Workshop, Server]) -> None:
    shop, server = web
    shop.build(over_http(shop, server, "one", '[[step]]\napt = ["hello"]\n'))
    shop.build(over_http(shop, server, "two", '[[step]]\napt = ["hello", "daemon"]\n'))
    asked = [os.path.basename(path).partition("_")[0] for path in server.asked() if path.endswith(".deb")]
    assert len(asked) == len(set(asked)) and {"hello", "daemon", "busybox"} <= set(asked)


def test_what_a_package_does_to_the_cache_is_not_felt_by_others(web: tuple[Workshop, Server]) -> None:
    """apt believes what is in its cache if the size is right."""
    shop, server = web
    evil = deb.Package("evil", fields={"Depends": "busybox, hello"})
    evil.scripts["postinst"] = (
        "#!/bin/sh\nset -e\ncd /run/treesmith/apt/archives\nls hello_*.deb\n"
        "for file in *.deb; do sed -i 's/hello from/EVIL! from/' $file; done\ngrep -q EVIL hello_*.deb\n"
    )
    shop.debian.publish(evil)
    shop.build(over_http(shop, server, "evil", '[[step]]\napt = ["evil"]\n'))
    pool = Path(shop.store.path, "cache/archives/pool")
    assert not [path for path in pool.iterdir() if b"EVIL! from" in path.read_bytes()]
    good = shop.build(over_http(shop, server, "good", '[[step]]\napt = ["hello", "daemon"]\n'))
    assert "hello from" in shop.read(good, "/usr/bin/hello")
    # And whatever gets into the pool itself is looked at before it is used.
    for path in pool.iterdir():
        path.write_bytes(path.read_bytes().replace(b"hello from", b"EVIL! from"))
    again = shop.build(over_http(shop, server, "again", '[[step]]\napt = ["daemon", "hello"]\n'))
    assert "hello from" in shop.read(again, "/usr/bin/hello")


# pip


@pytest.fixture
def index(shop: Workshop) -> Path:
    folder = shop.folder / "index"
    for version in ("1.0", "2.0"):
        python.wheel(folder / "greet", "greet", version, f'version = "{version}"\n', ("six",))
    python.wheel(folder / "six", "six", "1.16.0")
    return python.index(folder)


PYTHON = '[[step]]\napt = ["python3-venv"]\n'


def test_pip_into_a_venv(shop: Workshop, index: Path) -> None:
    (shop.folder / "requirements.txt").write_text("greet==1.0\n-c more/limits.txt\n")
    (shop.folder / "more").mkdir()
    (shop.folder / "more/limits.txt").write_text("six<2\n")
    steps = f"""{PYTHON}
[[step]]
network = false
[step.pip]
requirements = "requirements.txt"
venv = "/srv/venv"
index = "index"
[[step]]
run = ["/srv/venv/bin/python", "-c", "import greet, six; open('/said', 'w').write(greet.version)"]
"""
    tree = shop.make(steps)
    assert shop.read(tree, "/said") == "1.0"
    assert {"greet": "1.0", "six": "1.16.0"}.items() <= tree.steps[-2]["made"]["packages"].items()
    assert "run/treesmith" not in shop.entries(tree) and "requirements.txt" not in str(
        sorted(shop.entries(tree, "srv/"))
    )
    assert not [path for path in shop.entries(tree, "root/") if "cache" in path]
    shop.make(steps)
    assert shop.verbs() == ["keep"] * 3
    (shop.folder / "more/limits.txt").write_text("six<3\n")
    shop.make(steps)
    assert shop.verbs() == ["keep", "make", "make"]


def test_pip_among_the_trees_own_packages(shop: Workshop, index: Path) -> None:
    tree = shop.make(
        '[[step]]\napt = ["python3-venv", "python3-pip"]\n[[step]]\npip = { packages = ["greet<2"], index = "index" }\n'
    )
    assert [path for path in shop.entries(tree) if path.endswith("dist-packages/greet.py")]


def test_pip_holds_to_hashes(shop: Workshop, index: Path) -> None:
    (shop.folder / "requirements.txt").write_text("six==1.16.0 --hash=sha256:" + "0" * 64 + "\n")
    step = '[step.pip]\nrequirements = "requirements.txt"\nhashes = true\nvenv = "/v"\nindex = "index"\n'
    with pytest.raises(Error, match="THESE PACKAGES DO NOT MATCH THE HASHES"):
        shop.make(f"{PYTHON}[[step]]\n{step}")
    with pytest.raises(Error, match="No matching distribution found for nosuch"):
        shop.make(f'{PYTHON}[[step]]\npip = {{ packages = ["nosuch"], venv = "/v", index = "index" }}\n')


def test_pip_asks_whom_the_caller_asks(
    shop: Workshop, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(index, tmp_path / "asked") as server:
        monkeypatch.setenv("PIP_INDEX_URL", server.url.replace("://", "://me:password@"))
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "file:///nowhere")
        tree = shop.make(f'{PYTHON}[[step]]\npip = {{ packages = ["greet"], venv = "/v" }}\n')
        made = tree.steps[-1]["made"]
        assert made["packages"]["greet"] == "2.0" and "/greet/" in server.asked()
        assert made["archives"]["greet"]["source"].startswith(f"{server.url}/greet/")
        assert not [word for word in ("password", "nowhere") if word in json.dumps(tree.steps)]


# npm

needs_npm = pytest.mark.skipif(not shutil.which("npm", path="/usr/bin"), reason="this machine has no npm to build with")
NODE = 'console.log("hello from node")\n'


def with_node(shop: Workshop) -> str:
    """Steps that put this machine's node and npm into the tree."""
    package = deb.Package("nodejs")
    known = {path for path in shop.entries(shop.build(shop.base())) if path.startswith("usr/lib/")}
    for place, path in deb.libraries(["/usr/bin/node"]).items():
        if place not in known:
            package.take(path, place)
    package.take("/usr/bin/node")
    program = Path("/usr/bin/npm").resolve()
    # Debian's npm is spread over all of /usr/share/nodejs, others' is a folder.
    top = next((above for above in program.parents if above.name == "nodejs"), program.parent.parent)
    package.take_folder(top)
    package.links["usr/bin/npm"] = str(program)
    (shop.folder / "node.tar").write_bytes(deb.contents(package))
    return '[[step]]\ntar = { file = "node.tar" }\n'


@needs_npm
def test_npm_from_a_lock(shop: Workshop) -> None:
    node.lock(shop.folder / "web", "greet", node.tarball("greet", "1.0.0", NODE))
    steps = f"""{with_node(shop)}
[[step]]
network = false
npm = {{ lock = "web", to = "/srv/web" }}
[[step]]
run = "cd /srv/web; node -e 'require(\\"greet\\")' >/said"
"""
    tree = shop.make(steps)
    assert shop.read(tree, "/said") == "hello from node\n"
    assert tree.steps[-2]["made"]["packages"] == {"greet": "1.0.0"} and tree.steps[-2]["pinned"]
    there = shop.entries(tree)
    assert "srv/web/node_modules/greet/index.js" in there and "root/.npm" not in there
    (shop.folder / "web/greet.tgz").write_bytes(node.tarball("greet", "1.0.0", "evil"))
    shutil.rmtree(Path(shop.store.path, "cache/npm"))  # else npm takes what fits the hash from there
    with pytest.raises(Error, match="EINTEGRITY"):
        shop.make(steps)


@needs_npm
def test_npm_for_everybody_and_into_a_folder(shop: Workshop, tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    folder.mkdir()
    node_step = with_node(shop)
    with serve(folder, tmp_path / "asked") as server:
        node.registry(folder, server.url, "greet", "1.0.0", node.tarball("greet", "1.0.0", NODE))
        steps = f"""{node_step}
[[step]]
npm = {{ packages = ["greet"], registry = "{server.url}" }}
[[step]]
npm = {{ packages = ["greet@1"], registry = "{server.url}", to = "/srv/web" }}
[[step]]
run = "greet >/said"
"""
        tree = shop.make(steps)
    assert shop.read(tree, "/said") == "hello from node\n"
    assert [step["made"]["packages"]["greet"] for step in tree.steps[-3:-1]] == ["1.0.0"] * 2
    assert "srv/web/node_modules/greet/index.js" in shop.entries(tree)


# run, script


def test_run(shop: Workshop) -> None:
    tree = shop.make("""
        [[step]]
        env = { WHO = "me", EMPTY = "" }
        run = '''
          echo "$WHO-${EMPTY-unset}-$(id -u)" >/said
          touch /tmp/gone /run/gone
        '''
        [[step]]
        run = { command = ["sh", "-c", "pwd; id -un"], user = "daemon", chdir = "/usr" }
        [[step]]
        run = { command = "id -u > /var/tmp/uid; pwd >> /var/tmp/uid", user = "daemon", chdir = "/usr" }
        """)
    assert shop.read(tree, "/said") == "me--0\n"
    assert "/usr" in shop.heard and "daemon" in shop.heard
    assert shop.read(tree, "/var/tmp/uid") == "1\n/usr\n"
    assert not {"tmp/gone", "run/gone"} & set(shop.entries(tree))


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("run = 'echo first; false; echo second'", "first"),
        ("run = ['/nowhere']", "/nowhere"),
        ("run = { command = 'true', user = 'nobody-here' }", "no user 'nobody-here' in the tree"),
        ("run = { command = 'true', chdir = '/nowhere' }", "/nowhere"),
        ("run = 'yes | head -n 99; exit 7'", "status 7"),
    ],
)
def test_a_run_that_fails(shop: Workshop, step: str, says: str) -> None:
    with pytest.raises(Error) as caught:
        shop.make(f"[[step]]\n{step}\n", "fails")
    assert says in str(caught.value) and "second" not in caught.value.details
    assert caught.value.brief.startswith("fails: step 1: run: ")
    assert "fails" not in shop.store.names() and not shop.staged()


def test_a_network_only_where_it_is_asked_for(shop: Workshop) -> None:
    tree = shop.make("""
        [[step]]
        run = "grep -c : /proc/net/dev >/without || true"
        [[step]]
        network = true
        run = "grep -c : /proc/net/dev >/with; ls /sys/class/net >/dev/null"
        """)
    host = Path("/proc/net/dev").read_text().count(":")
    assert (shop.read(tree, "/without"), shop.read(tree, "/with")) == ("1\n", f"{host}\n")


def test_the_callers_certificates_and_proxies_come_along_and_go(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bundle.crt").write_text("a company's own\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle.crt"))
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:1")
    script = 'cat "$SSL_CERT_FILE" "$PIP_CERT"; echo "$https_proxy"; env >/said'
    steps = f"[[step]]\nnetwork = true\nrun = '{script}'\n[[step]]\nrun = 'echo \"none:$SSL_CERT_FILE$https_proxy\"'\n"
    tree = shop.make(steps)
    assert shop.heard.count("a company's own") == 2 and "http://proxy.invalid:1" in shop.heard and "none:" in shop.heard
    assert not [path for path in shop.entries(tree) if path.startswith("run/") or "certificates.crt" in path]
    monkeypatch.setenv("https_proxy", "http://other.invalid:1")
    shop.make(steps)
    assert shop.verbs() == ["keep", "keep"]


def test_script(shop: Workshop) -> None:
    (shop.folder / "set-up").write_text('#!/usr/bin/env -S sh -eu\necho "$0 $*" >/said\npwd >>/said\n')
    (shop.folder / "plain").write_text("false && true; echo plain >>/said; false; echo not here >>/said\n")
    tree = shop.make('[[step]]\nscript = { file = "set-up", args = ["a b", "c"], chdir = "/usr" }\n')
    name, folder = shop.read(tree, "/said").splitlines()
    assert name.endswith("set-up a b c") and folder == "/usr"
    with pytest.raises(Error, match="failed with status 1"):
        shop.make('[[step]]\nscript = "plain"\n')


def test_secrets_are_there_for_one_step_and_nowhere_else(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("very-secret-token")
    steps = """
        [[step]]
        secrets = ["TOKEN"]
        run = "wc -c </run/secrets/TOKEN >/length"
        [[step]]
        run = "! ls /run/secrets"
        """
    tree = shop.make(steps, "secretive", TOKEN=str(tmp_path / "token"))
    assert shop.read(tree, "/length").strip() == "17" and "TOKEN" not in shop.heard
    found = [
        path for path in Path(shop.store.path).rglob("*") if path.is_file() and b"very-secret" in path.read_bytes()
    ]
    assert not found and "run/secrets" not in shop.entries(tree)
    shop.make(steps, "secretive")  # nothing will run, so nothing is asked for
    with pytest.raises(UsageError, match="asks for the secret TOKEN"):
        shop.make(steps.replace("length", "other"), "secretive")


# copy, tar


def test_a_file_that_changes_while_the_build_runs(shop: Workshop) -> None:
    """By a step's own doing it cannot; so by a report's, which is told of each line while the step runs."""
    (shop.folder / "file").write_text("before")

    class Meddler(Heard):
        def line(self, text: str) -> None:
            if text == "now":
                (shop.folder / "file").write_text("after")

    shop.base()
    path = shop.write(
        """
        from = "./base-auto.toml"
        [[step]]
        run = "echo now"
        [[step]]
        copy = { from = "file", to = "/file" }
        """,
        "meddled",
    )
    with pytest.raises(Error, match="meddled: step 2: copy: what it reads changed while the build ran"):
        build(shop.store, str(path), Meddler(), wish=Wish(replace=True))
    assert "meddled" not in shop.store.names() and not shop.staged()
    assert shop.read(shop.build(path), "/file") == "after"


def test_copy(shop: Workshop) -> None:
    source = shop.folder / "app"
    (source / "sub/__pycache__").mkdir(parents=True)
    (source / "sub/__pycache__/x.pyc").touch()
    (source / "old.pyc").touch()
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o4755)
    (source / "plain").write_text("text")
    (source / "plain").chmod(0o640)
    (source / "sub").chmod(0o750)
    (source / "link").symlink_to("/etc/passwd")
    (source / "inside").symlink_to("sub")
    tree = shop.make("""
        [[step]]
        run = "mkdir -p /srv/there; chmod 700 /srv/there; chown 5:6 /srv/there; ln -s there /srv/alias"
        [[step]]
        copy = { from = "app", to = "/srv/new/", owner = "daemon" }
        [[step]]
        copy = { from = "app/", to = "/srv/alias", owner = "7:mail", mode = "0600" }
        [[step]]
        copy = { from = "app/plain", to = "/etc/plain.conf" }
        [[step]]
        copy = { from = "app/plain", to = "/srv/alias" }
        """)
    there = shop.entries(tree)

    def like(path: str) -> tuple[str, str, int, int]:
        entry = there[path]
        return entry.type, oct(entry.mode), entry.uid, entry.gid

    assert like("srv/new") == ("directory", oct(stat.S_IMODE(source.stat().st_mode)), 1, 1)
    assert like("srv/new/sub") == ("directory", "0o750", 1, 1)
    assert like("srv/new/run.sh") == ("file", "0o4755", 1, 1)
    assert there["srv/new/link"].target == "/etc/passwd" and like("srv/new/link")[2:] == (1, 1)
    assert there["srv/new/inside"].target == "sub"
    assert like("srv/there") == ("directory", "0o700", 5, 6)  # as it was
    assert like("srv/there/run.sh") == ("file", "0o600", 7, 8)
    assert like("etc/plain.conf") == ("file", "0o640", 0, 0)
    assert like("srv/there/plain") == ("file", "0o640", 0, 0)  # a folder gets the file
    assert not [path for path in there if "pyc" in path and path.startswith("srv")]
    assert abs(there["srv/new/plain"].mtime - there["srv/new/run.sh"].mtime) < 10 * 10**9


def test_copy_does_not_leave_the_tree(shop: Workshop, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (shop.folder / "file").write_text("evil")
    for place in (str(outside), "../../../../../../../.." + str(outside), f"/proc/self/root{outside}"):
        steps = f'[[step]]\nrun = "ln -s {place} /out"\n[[step]]\ncopy = {{ from = "file", to = "/out/file" }}\n'
        with pytest.raises(Error, match="/out/file cannot be made in the tree"):
            shop.make(steps)
        assert not list(outside.iterdir())
    with pytest.raises(Error, match="no user 'nobody-here' in the tree"):
        shop.make('[[step]]\ncopy = { from = "file", to = "/x", owner = "nobody-here" }\n')


def test_tar(shop: Workshop) -> None:
    with tarfile.open(shop.folder / "app.tar.gz", "w:gz") as tar:
        for name in ("app-1/bin/tool", "app-1/doc"):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.uid = 4, 0o4755, 3
            tar.addfile(member, io.BytesIO(b"data"))
    tree = shop.make('[[step]]\ntar = { file = "app.tar.gz", to = "/opt", strip = 1 }\n')
    entry = shop.entries(tree)["opt/bin/tool"]
    assert (entry.mode, entry.uid) == (0o4755, 3) and shop.read(tree, "/opt/doc") == "data"
    digest = tree.steps[-1]["made"]["sha256"]
    shop.make(f'[[step]]\ntar = {{ file = "app.tar.gz", sha256 = "{digest.upper()}" }}\n')
    with pytest.raises(Error, match=rf"test: step 1: tar: app.tar.gz is not the file .*\n.*{digest}"):
        shop.make(f'[[step]]\ntar = {{ file = "app.tar.gz", sha256 = "{"0" * 64}" }}\n')
    (shop.folder / "bad.tar").write_bytes(b"no tar")
    with pytest.raises(Error, match="step 1: tar: not a tar archive"):
        shop.make('[[step]]\ntar = { file = "bad.tar" }\n')


def test_a_tree_may_begin_with_tar_or_copy(shop: Workshop) -> None:
    (shop.folder / "root/bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", shop.folder / "root/bin/sh")
    with tarfile.open(shop.folder / "root.tar", "w") as tar:
        tar.add(shop.folder / "root", ".")
    for number, step in enumerate(('copy = { from = "root", to = "/" }', 'tar = { file = "root.tar" }')):
        path = shop.write(f"[[step]]\n{step}\n[[step]]\nrun = 'echo works >/said'\n", f"small{number}")
        assert shop.read(shop.build(path), "/said") == "works\n"
