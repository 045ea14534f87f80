"""/etc as a repository of the tree's own etckeeper and git: what steps and launches commit, and what a tree says of it
that is not to be trusted."""

import json
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
import roots
from command import Command, environment, on
from offline.debian import Debian, debian
from offline.etckeeper import etckeeper
from plain import Plain
from workshop import Elsewhere, Workshop

from treesmith.errors import Error
from treesmith.etckeeper.history import log
from treesmith.store import Tree, create_store

EPOCH = 1_750_000_000
TOOLS = '[[step]]\ntar = { file = "tools.tar", to = "/" }\n'
BEGIN = f"{TOOLS}[[step]]\netckeeper = {{}}\n"


@pytest.fixture(scope="module")
def tools() -> bytes:
    archive = etckeeper()
    if not archive:
        pytest.skip("apt has no etckeeper")
    return archive


@pytest.fixture(scope="module")
def repository() -> Debian:
    return debian()


@pytest.fixture
def shop(tmp_path: Path, repository: Debian, tools: bytes) -> Workshop:
    shop = Workshop(create_store(str(tmp_path / "store"), "overlay"), tmp_path / "recipes", repository)
    (shop.folder / "tools.tar").write_bytes(tools)
    return shop


@pytest.fixture
def treesmith(shop: Workshop) -> Command:
    return on(Path(shop.store.path))


def messages(shop: Workshop, tree: Tree) -> list[str]:
    """The oldest first."""
    return [commit.message for commit in reversed(log(shop.store, tree))]


def git(treesmith: Command, tree: str, *words: str) -> str:
    return treesmith("launch", "-q", "--ephemeral", tree, "--", "git", "-C", "/etc", *words).stdout


STEPS = """
[[step]]
apt = ["hello"]
[[step]]
run = "true"
[[step]]
name = "both"
run = '''
  echo 1 >/etc/one; etckeeper commit mine; echo 2 >/etc/two
  mkdir /etc/ssh; echo key >/etc/ssh/ssh_host_rsa_key; etckeeper commit keys
'''
"""


def test_each_step_is_one_commit(shop: Workshop, treesmith: Command) -> None:
    """What etckeeper itself commits around apt is part of it. Nothing is left to commit, and no key in the history."""
    tree = shop.make(BEGIN + STEPS, "app")
    assert messages(shop, tree) == ["app: step 2: etckeeper", "app: step 3: apt", "app: step 5: run (both)"]
    assert {commit.author for commit in log(shop.store, tree)} == {"treesmith"}
    assert not git(treesmith, "app", "status", "--porcelain")
    assert "hello.conf" in git(treesmith, "app", "show", "--stat", "HEAD~1")
    assert git(treesmith, "app", "log", "-1", "--format=%b").split() == ["mine", "keys"]
    assert not git(treesmith, "app", "fsck", "--unreachable", "--no-reflogs")
    assert "ssh_host" not in git(treesmith, "app", "log", "--all", "--stat")
    shop.build(shop.folder / "app.toml")
    assert shop.plan and not shop.plan.to_make
    shop.make(BEGIN + STEPS.replace('"both"', '"another"'), "app")
    assert shop.plan.to_make[0].reason == "title: app: step 5: run (both) -> app: step 5: run (another)"


def test_a_package_that_made_a_repository_already(shop: Workshop) -> None:
    """As Debian's does when it is installed: its first commit is the step's. Another's history is kept."""
    before = "[[step]]\nrun = 'etckeeper init; etckeeper commit \"MESSAGE\"'\n"
    begin = "[[step]]\netckeeper = {}\n"
    tree = shop.make(TOOLS + before.replace("MESSAGE", "Initial commit") + begin, "app")
    assert messages(shop, tree) == ["app: step 3: etckeeper"]
    tree = shop.make(TOOLS + before.replace("MESSAGE", "of old") + begin, "app")
    assert messages(shop, tree) == ["of old", "app: step 3: etckeeper"]


def test_a_tree_without(shop: Workshop, treesmith: Command) -> None:
    with pytest.raises(Error, match="step 1: etckeeper: the tree has no etckeeper and no git") as caught:
        shop.make("[[step]]\netckeeper = {}\n", "app")
    assert 'apt = ["etckeeper", "git"]' in caught.value.hint
    with pytest.raises(Error, match=r"the commit of /etc failed with status 1\n.*the tree has no git"):
        shop.make(f"{BEGIN}[[step]]\nrun = 'rm /usr/bin/git'\n", "app")
    hg = "echo VCS=hg >/etc/etckeeper/etckeeper.conf; echo mkdir -p .hg >/bin/hg; chmod 755 /bin/hg"
    with pytest.raises(Error, match="does not say VCS=git"):
        shop.make(f"{TOOLS}[[step]]\nrun = '{hg}'\n[[step]]\netckeeper = {{}}\n", "app")
    shop.make("[[step]]\nrun = 'true'\n", "app")
    assert "no history of /etc" in treesmith("history", "--etc", "app", status=1).stderr
    assert "one at a time" in treesmith("history", "--etc", "--log", "app", status=2).stderr
    assert not shop.staged()


def test_locked(tmp_path: Path, repository: Debian, tools: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects, index and logs of git too."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))
    both = Elsewhere(tmp_path, repository)
    (both.here.folder / "tools.tar").write_bytes(tools)
    change = "[[step]]\nrun = 'date >/etc/machine-id; echo 2 >/etc/two; etckeeper commit x; useradd me'\n"
    both.here.make(f'{BEGIN}[[step]]\napt = ["hello"]\n{change}', "app")
    path = both.here.folder / "app.toml"
    both.lock(path)
    tree = both.twice(path)
    assert messages(both.here, tree) == ["app: step 2: etckeeper", "app: step 3: apt", "app: step 4: run"]
    assert {commit.created for commit in log(both.here.store, tree)} == {EPOCH}


@pytest.fixture
def box(shop: Workshop, treesmith: Command) -> Tree:
    """A snapshot of a tree whose /etc is kept."""
    shop.make(BEGIN, "app")
    treesmith("snapshot", "app", "box")
    return shop.store.find("box")


def test_launches(shop: Workshop, treesmith: Command, box: Tree) -> None:
    """A commit each of those that changed something, with the command as message; the status is the command's."""
    sh = ("launch", "-q", "box", "--", "sh", "-c")
    assert treesmith(*sh, "echo a >/etc/a; exit 3", status=3).stderr == ""
    treesmith(*sh, "true")
    treesmith(*sh, "echo b >/etc/b; etckeeper commit 'by hand'")
    treesmith(*sh, f"chmod 600 /etc/a\n#{'x' * 200}\x1b")
    treesmith("launch", "-q", "--ephemeral", "box", "--", "touch", "/etc/nothing")
    treesmith("launch", "-q", "--detach", "box", "--", "touch", "/etc/away")
    treesmith("wait", "box")
    made = messages(shop, box)
    assert made[:3] == ["app: step 2: etckeeper", "sh -c echo a >/etc/a; exit 3", "by hand"]
    assert made[3].startswith("sh -c chmod 600 /etc/a #xxx") and len(made[3]) == 102
    assert made[4:] == ["touch /etc/away"]
    lines = treesmith("history", "--etc", "box").stdout.splitlines()
    assert lines[0].split() == ["COMMIT", "WHEN", "BY", "WHAT"] and lines[1].endswith("treesmith  touch /etc/away")
    answer = json.loads(treesmith("history", "--etc", "--json", "box").stdout)
    assert [one["message"] for one in reversed(answer["commits"])] == made
    treesmith("launch", "-q", "--detach", "box", "--", "sleep", "1000")
    assert "treesmith enter box -- git" in treesmith("history", "--etc", "box", status=1).stderr
    treesmith("stop", "box")


HOSTILE = r"""
cd /etc
git config core.fsmonitor 'touch /etc/ran; touch OUTSIDE; false'
git config alias.log '!touch OUTSIDE'
git config core.pager 'touch OUTSIDE'
git config log.showSignature true
git config gpg.program /bin/evil
git config core.hooksPath /etc/hooks
printf '#!/bin/sh\ntouch OUTSIDE; echo loud >&2; exit 1\n' >/bin/evil
mkdir hooks; cp /bin/evil hooks/post-commit; cp /bin/evil hooks/post-index-change; chmod 755 /bin/evil hooks/*
export GIT_AUTHOR_NAME="$(printf 'a\033[31mb')"
git -c core.fsmonitor= -c core.hooksPath=/x -c user.name=x -c user.email=x commit -q --allow-empty \
    -m "$(printf 'red \033[31m and \037 more')"
"""


def test_a_hostile_repository(shop: Workshop, treesmith: Command, box: Tree, tmp_path: Path) -> None:
    """Its programs run where the tree's do, and what it says goes to no terminal as it is."""
    outside = tmp_path / "outside"
    treesmith("launch", "-q", "box", "--", "sh", "-c", HOSTILE.replace("OUTSIDE", str(outside)))
    treesmith("launch", "-q", "box", "--", "touch", "/etc/x")
    shown = treesmith("history", "--etc", "box").stdout
    assert r"red \x1b[31m and \x1f more" in shown and "\x1b" not in shown and "touch /etc/x" in shown
    assert not outside.exists()


def test_one_that_says_too_much(shop: Workshop, treesmith: Command, box: Tree) -> None:
    """What is said without end is neither kept nor waited for."""
    program = "printf '#!/bin/sh\\n[ $1 = --no-pager ] || exec head -c 100000 /dev/zero\\nyes\\n' >/bin/git"
    done = treesmith("launch", "-q", "box", "--", "sh", "-c", f"rm /bin/git; {program}; chmod 755 /bin/git")
    assert "what changed in /etc is not committed: " in done.stderr and len(done.stderr) < 5000
    assert "too long" in treesmith("history", "--etc", "box", status=1).stderr


SLOW = """
cd /etc; echo '#!/bin/sh' >.git/hooks/prepare-commit-msg; chmod 755 .git/hooks/prepare-commit-msg
echo '[ ! -e /etc/slow ] || { : >.git/index.lock; sleep 1000; }' >>.git/hooks/prepare-commit-msg
date >/etc/slow; echo up
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_commit_that_does_not_end(shop: Workshop, treesmith: Command, box: Tree, number: int) -> None:
    """A signal ends the commit, not the launch; a kill ends both. What a git that was killed had locked does not stop
    the next launch, which commits what this one changed."""
    argv = [sys.executable, "-m", "treesmith", "launch", "-q", "box", "--", "sh", "-c", SLOW]
    running = subprocess.Popen(
        argv, env=environment(Path(shop.store.path)),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout.readline() == b"up\n"
    time.sleep(1)
    running.send_signal(number)
    said = running.communicate()[1].decode()
    assert running.returncode == (0 if number == signal.SIGINT else -number), said
    assert number == signal.SIGKILL or "is not committed: status 137" in said
    assert "etc/.git/index.lock" in shop.entries(box, "etc/.git/")
    treesmith("launch", "-q", "box", "--", "mv", "/etc/slow", "/etc/fast")
    assert messages(shop, box)[1:] == ["mv /etc/slow /etc/fast"]
    assert "etc/.git/index.lock" not in shop.entries(box, "etc/.git/")


def test_without_root(plain_user: Plain, tools: bytes, tmp_path: Path) -> None:
    me = plain_user
    root = roots.busybox(tmp_path / "root")
    for name in ("lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    with tarfile.open(me.home / "base.tar", "w") as archive:
        archive.add(root, ".")
    (me.home / "tools.tar").write_bytes(tools)
    (me.home / "app.toml").write_text(f'[[step]]\ntar = {{ file = "base.tar" }}\n{BEGIN}')
    me.run("build", "-q", str(me.home / "app.toml"))
    me.run("snapshot", "-q", "app", "box")
    assert me.run("launch", "-q", "box", "--", "touch", "/etc/x").stderr == ""
    commits = json.loads(me.run("history", "--etc", "--json", "box").stdout)["commits"]
    assert [one["message"] for one in commits] == ["touch /etc/x", "app: step 3: etckeeper"]
