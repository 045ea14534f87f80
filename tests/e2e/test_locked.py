"""What was locked is made again exactly: later, elsewhere, after its sources have moved on; or it is an error."""

import json
import shutil
from pathlib import Path

import pytest
from offline import deb
from offline.debian import Debian, debian, hello
from offline.server import serve
from workshop import Elsewhere

from treesmith.build import lock
from treesmith.errors import Error

EPOCH = 1_750_000_000  # 2025-06-15
DAY = EPOCH // 86400


@pytest.fixture(scope="module")
def repository() -> Debian:
    return debian()


@pytest.fixture(autouse=True)
def another_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks are of a day long gone, so whatever has today's date shows."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))


@pytest.fixture
def both(tmp_path: Path, repository: Debian) -> Elsewhere:
    return Elsewhere(tmp_path, repository)


@pytest.mark.parametrize("driver", ["mmdebstrap", "debootstrap"])
def test_debian(both: Elsewhere, driver: str) -> None:
    base = both.here.base(driver, 'include = ["hello"]\nupdates = true')
    path = both.here.write(
        f"""
        from = "./{base.name}"
        [[step]]
        apt = ["daemon", "fond/bookworm"]
        [[step]]
        run = '''
          useradd -m me; hello >/said
          mkdir -p /var/log/x /var/cache/man /etc/ssh; date >/var/log/x/y; date >/var/cache/man/index
          date >/etc/machine-id; date >/etc/ssh/ssh_host_rsa_key
          echo "me:!:$(($(date +%s) / 86400)):0:99999:7:::" >/etc/shadow
        '''
        """,
        "app",
    )
    deb.repository(both.repository.folder, [hello("1.5")], "bookworm-updates", "amd64", both.repository.key)
    first = both.here.build(path)
    sources = both.here.read(first, "/etc/apt/sources.list")
    both.lock(path)
    assert not both.newer()
    both.repository.publish(hello("2.0"), deb.Package("daemon", "9"))
    assert both.newer() == [("hello:amd64", "1.5", "2.0"), ("daemon:amd64", "1", "9")]
    shutil.rmtree(both.repository.folder / "dists")  # where a mirror moves on, old packages may stay: these do
    tree = both.twice(path)
    assert both.here.read(tree, "/said") == "hello from conf of 1.5\n" and not both.dated(tree)
    assert f"me:!:{DAY}:" in both.here.read(tree, "/etc/shadow")
    assert both.here.read(tree, "/etc/apt/sources.list") == sources
    for recorded, again in zip(first.steps, tree.steps, strict=True):
        assert again["made"] == recorded["made"] and again["pinned"]
    there = both.here.entries(tree)
    assert there["var/log/x/y"].size == there["etc/machine-id"].size == 0 and "var/cache/man/index" not in there
    assert not [name for name in both.here.store.names() if name.startswith("base") and both.there.store.named(name)]
    both.again(path)
    assert both.there.verbs() == ["keep", "keep"]


def test_archives_that_are_gone(both: Elsewhere, tmp_path: Path) -> None:
    with serve(both.repository.folder, tmp_path / "asked") as server:
        mirror = f"file://{both.repository.folder}"
        text = both.here.base().read_text().replace(mirror, server.url)
        path = both.here.write(text + '[[step]]\napt = ["hello"]\n', "app")
        both.here.build(path)
        written = both.lock(path)
        hello_deb = next(both.repository.folder.glob("pool/hello_*"))
        good = hello_deb.read_bytes()
        hello_deb.write_bytes(good.replace(b"hello", b"EVIL!"))
        with pytest.raises(Error) as caught:
            both.again(path)
        assert "apt: hello:amd64, as it was locked, is nowhere to be had" in caught.value.brief
        assert f"{server.url}/pool/hello_1.0_amd64.deb: not what was locked" in caught.value.details
        hello_deb.unlink()
        with pytest.raises(Error) as caught:
            both.again(path)
        assert f"{server.url}/pool/hello_1.0_amd64.deb: HTTP Error 404" in caught.value.details
        assert f"{both.there.store.path}/cache/archives/pool" in caught.value.details
        assert not both.there.staged() and not list(Path(both.there.store.path, "cache/archives").glob("step"))
    # Where it was built the downloads are kept, by their digest: nothing is asked for.
    assert both.again(path, both.here).steps[-1]["made"]["packages"] == {"hello:amd64": "1.0"}
    wrong = json.loads(written.read_text())
    wrong["steps"][-1]["made"]["packages"]["hello:amd64"] = "1.1"
    written.write_text(json.dumps(wrong))
    with pytest.raises(Error, match=r"made something else than what was locked\n.*hello:amd64: 1.1 -> 1.0"):
        both.again(path, both.here)


def test_what_cannot_be_locked(both: Elsewhere) -> None:
    both.here.folder.joinpath("file").write_text("one")
    steps = '[[step]]\ncopy = { from = "file", to = "/file" }\n'
    path = both.here.write(steps, "app")
    with pytest.raises(Error, match="app is not built as its recipe is now"):
        lock(both.here.store, str(path))
    with pytest.raises(Error, match=r"no lock .*app.lock"):
        both.again(path)
    both.here.build(path)
    written = both.lock(path)
    both.twice(path)
    both.here.folder.joinpath("file").write_text("two")
    with pytest.raises(Error, match=r"app.lock is the lock of something else\n.*copy: file file changed"):
        both.again(path)
    path.write_text(steps + steps)
    with pytest.raises(Error, match="there are 2 steps, there 1"):
        both.again(path)
    for text in ("", "[]", '{"version": 1}', "{" * 9999):
        written.write_text(text)
        with pytest.raises(Error, match="is no lock"):
            both.again(path)
