"""Building with the real command: caching, reasons, failures, names, secrets. The tree to start from is a busybox."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import filesystems
import pytest
from command import Command, environment

from treesmith.store import Store, create_store


def content(treesmith: Command, path: str, tree: str = "app") -> str:
    return treesmith("launch", "-q", tree, "--", "cat", path).stdout


def test_a_build_is_a_sealed_tree(treesmith: Command, store: Store, recipe: Callable[..., str]) -> None:
    treesmith("build", recipe('[[step]]\nrun = "echo hello > /made"\n'))
    assert content(treesmith, "/made") == "hello\n"
    tree = store.find("app")
    assert tree.sealed and tree.kind == "build" and [step["kind"] for step in tree.steps] == ["tar", "run"]


def test_again_there_is_nothing_to_do(treesmith: Command, store: Store, recipe: Callable[..., str]) -> None:
    path = recipe('[[step]]\nrun = "date +%s%N > /made"\n')
    treesmith("build", path)
    first = content(treesmith, "/made")
    again = treesmith("build", path)
    assert "nothing to do" in again.stdout + again.stderr
    assert content(treesmith, "/made") == first


def test_a_rebuild_begins_where_the_recipe_changed(
    treesmith: Command, store: Store, recipe: Callable[..., str]
) -> None:
    steps = ['[[step]]\nrun = "date +%N > /one"\n', '[[step]]\nrun = "date +%N > /two"\n']
    treesmith("build", recipe("".join(steps)))
    one, two = content(treesmith, "/one"), content(treesmith, "/two")
    changed = recipe(steps[0] + steps[1].replace("/two", "/three"))
    plan = treesmith("build", changed, "--dry-run").stdout
    assert "step 3: run" in plan and "/three" in plan
    assert content(treesmith, "/two") == two, "a dry run must change nothing"
    treesmith("build", changed)
    assert content(treesmith, "/one") == one
    assert treesmith("launch", "-q", "app", "--", "cat", "/two", status=1).stdout == ""


def test_a_dry_run_makes_no_store(treesmith: Command, store_path: Path, recipe: Callable[..., str]) -> None:
    plan = treesmith("build", recipe(), "--dry-run", "--json").stdout
    assert json.loads(plan)["version"] == 1
    assert not store_path.exists()


def test_a_failing_step_shows_its_last_lines_and_leaves_nothing(
    treesmith: Command, store: Store, recipe: Callable[..., str]
) -> None:
    path = recipe('[[step]]\nrun = "touch /half; seq 1000; echo the end >&2; exit 7"\n')
    failed = treesmith("build", path, status=1)
    assert "step 2: run" in failed.stderr and "status 7" in failed.stderr and "the end" in failed.stderr
    log = re.search(r"the whole log: (\S+)", failed.stderr)
    assert log and Path(log[1]).read_text().startswith("1\n2\n3\n")
    assert store.names() == {}
    assert [step["kind"] for tree in store.trees() for step in tree.steps] == ["tar"], "what was done stays cached"
    assert not list(Path(store.path, "staging").iterdir())


def test_the_recipes_machine_is_not_seen(treesmith: Command, store: Store, recipe: Callable[..., str]) -> None:
    treesmith("build", recipe('[[step]]\nrun = "id -u; cat /proc/self/uid_map; ls /sys/class/net; env > /env"\n'))
    seen = treesmith("history", "app", "--log=2").stdout.split()
    assert seen[0] == "0" and int(seen[2]) > 500000 and seen[4:] == ["lo"]
    assert "TREESMITH_STORE" not in content(treesmith, "/env")


def test_nothing_that_a_step_started_outlives_it(treesmith: Command, store: Store, recipe: Callable[..., str]) -> None:
    treesmith("build", recipe('[[step]]\nrun = "sleep 1000 & nohup setsid sleep 1000 >/dev/null 2>&1 & echo"\n'))


def test_what_a_step_is_lent_does_not_stay(treesmith: Command, store: Store, recipe: Callable[..., str]) -> None:
    treesmith("build", recipe('[[step]]\nnetwork = true\nrun = "test -s /etc/resolv.conf; echo x > /tmp/x"\n'))
    listing = treesmith("launch", "-q", "app", "--", "ls", "-A", "/etc", "/tmp", "/run").stdout
    assert "resolv.conf" not in listing and "x\n" not in listing


def test_a_secret_is_read_once_and_kept_nowhere(
    store: Store, store_path: Path, treesmith: Command, tmp_path: Path, recipe: Callable[..., str]
) -> None:
    """Not in a tree, a key, a log, a record, nor anywhere else in the store or beside it, and while the step runs in no
    process's arguments and environment; also where the step fails, and where it is another step that does."""
    secret = "correct-horse-battery"
    (tmp_path / "token").write_text(secret)
    using = '[[step]]\nsecrets = ["token"]\nrun = "test $(wc -c < /run/secrets/token) = 21 && sleep 1 && touch /ok"\n'
    path = recipe(using)
    assert "token" in treesmith("build", path, status=2).stderr
    argv = [sys.executable, "-m", "treesmith", "build", "--verbose", path, "--secret", f"token={tmp_path}/token"]
    running = subprocess.Popen(argv, env=environment(store_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    listed: set[bytes] = set()
    while running.poll() is None:
        listed |= process_list()
        time.sleep(0.05)
    assert running.stdout and not running.returncode
    with running.stdout as output:
        said = output.read()
    assert any(b"sleep 1" in words for words in listed)  # it was looked at while the step ran
    assert not [words for words in listed if secret.encode() in words] and secret.encode() not in said
    treesmith("launch", "-q", "app", "--", "test", "-e", "/ok")
    assert "secrets" not in treesmith("launch", "-q", "app", "--", "ls", "-AR", "/run").stdout
    fails = recipe(using.replace("touch /ok", "false"), "fails")
    done = treesmith("build", fails, "--secret", f"token={tmp_path}/token", status=1)
    assert secret not in done.stdout + done.stderr
    tells = recipe(using.replace("touch /ok", "cat /run/secrets/token; cat /run/secrets/token >&2; false"), "tells")
    done = treesmith("build", tells, "--secret", f"token={tmp_path}/token", status=1)
    assert secret not in done.stderr and "***" in done.stderr
    shown = treesmith("show", "app", "--json").stdout + treesmith("history", "app", "--log").stdout
    assert secret not in shown + treesmith("build", path, "--dry-run", "--json").stdout
    for folder in (store_path, Path("/run/treesmith"), Path("/dev/shm")):
        found = subprocess.run(["grep", "-rlF", "--", secret, str(folder)], capture_output=True, check=False)
        assert not found.stdout
        assert not list(folder.rglob(f"*{secret}*"))
    digests = (hashlib.new(name, secret.encode()).hexdigest() for name in ("md5", "sha1", "sha256"))
    for digest in digests:  # nor what it could be guessed by
        assert not subprocess.run(["grep", "-rlF", digest, str(store_path)], capture_output=True, check=False).stdout


def process_list() -> set[bytes]:
    found = set()
    for path in (*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")):
        try:
            found.add(path.read_bytes().replace(b"\0", b" "))
        except OSError:
            continue  # it has ended
    return found


def test_a_rebuild_takes_the_name_and_keeps_what_is_needed(
    treesmith: Command, store: Store, recipe: Callable[..., str]
) -> None:
    treesmith("build", recipe('[[step]]\nrun = "echo 1 > /n"\n'))
    treesmith("snapshot", "app", "copy")
    treesmith("build", recipe('[[step]]\nrun = "echo 2 > /n"\n'))
    assert content(treesmith, "/n") == "2\n" and content(treesmith, "/n", "copy") == "1\n"
    assert content(treesmith, "/n", "app@1") == "1\n"
    treesmith("rm", "copy")
    treesmith("prune")
    assert set(store.names()) == {"app"}


def test_a_recipe_from_another(treesmith: Command, store: Store, recipe: Callable[..., str], tmp_path: Path) -> None:
    base = recipe('[vars]\nword = "base"\n[[step]]\nenv = { WORD = "{word}" }\nrun = "echo $WORD > /n"\n', "base")
    over = tmp_path / "over.toml"
    over.write_text(f'from = "{base}"\n[[step]]\nrun = "cat /n /n > /m"\n')
    treesmith("build", str(over))
    assert set(store.names()) == {"base", "over"} and content(treesmith, "/m", "over") == "base\nbase\n"
    over.write_text(f'from = {{ recipe = "{base}", set = {{ word = "else" }} }}\n[[step]]\nrun = "cat /n /n > /m"\n')
    treesmith("build", str(over))
    assert content(treesmith, "/m", "over") == "else\nelse\n" and content(treesmith, "/n", "base") == "base\n"
    treesmith("prune")
    assert content(treesmith, "/m", "over") == "else\nelse\n"


def test_other_values_need_another_name(treesmith: Command, store: Store, recipe: Callable[..., str]) -> None:
    path = recipe('[vars]\nword = "a"\n[[step]]\nenv = { WORD = "{word}" }\nrun = "echo $WORD > /n"\n')
    treesmith("build", path)
    refused = treesmith("build", path, "--set", "word=b", status=1)
    assert "--replace" in refused.stderr and content(treesmith, "/n") == "a\n"
    treesmith("build", path, "--set", "word=b", "--name", "beside")
    assert content(treesmith, "/n", "beside") == "b\n"
    treesmith("build", path, "--set", "word=c", "--replace")
    assert content(treesmith, "/n") == "c\n"


def test_copies_of_a_build_are_no_twins(treesmith: Command, store: Store, recipe: Callable[..., str]) -> None:
    twin = "mkdir -p /etc/ssh; echo 0123 > /etc/machine-id; echo k > /etc/ssh/ssh_host_rsa_key"
    treesmith("build", recipe(f'[[step]]\nrun = "{twin}"\n'))
    assert content(treesmith, "/etc/machine-id") == ""
    treesmith("launch", "-q", "app", "--", "test", "-e", "/etc/ssh/ssh_host_rsa_key", status=1)


def test_launch_defaults_come_from_the_recipe(treesmith: Command, store: Store, recipe: Callable[..., str]) -> None:
    treesmith("build", recipe('[launch]\ncommand = ["id", "-un"]\nuser = "me"\n'))
    assert treesmith("launch", "-q", "app").stdout == "me\n"
    treesmith("snapshot", "app", "copy")
    assert treesmith("launch", "copy").stdout == "me\n"


def test_a_removed_folder_never_comes_back(treesmith: Command, store: Store, recipe: Callable[..., str]) -> None:
    """Opaque directories, through every mix of build, launch and snapshot."""
    again = "rm -rf /d; mkdir /d; touch /d/$1"
    steps = ["mkdir /d; touch /d/old0", again.replace("$1", "old1"), again.replace("$1", "old2")]
    treesmith("build", recipe("".join(f'[[step]]\nrun = "{step}"\n' for step in steps)))
    assert treesmith("launch", "-q", "app", "--", "ls", "/d").stdout == "old2\n"
    previous = "app"
    for number in range(3):
        name = f"s{number}"
        treesmith("snapshot", previous, name)
        treesmith("launch", name, "--", "sh", "-c", again, "sh", name)
        assert treesmith("launch", name, "--", "ls", "/d").stdout == f"{name}\n"
        previous = name
    treesmith("snapshot", "s1", "t")
    assert treesmith("launch", "t", "--", "ls", "/d").stdout == "s1\n"
    treesmith("seal", "t")
    assert treesmith("launch", "-q", "t", "--", "ls", "/d").stdout == "s1\n"


@pytest.mark.parametrize("backend", ["overlay", "copy"])
def test_a_full_disk(treesmith: Command, tmp_path: Path, recipe: Callable[..., str], backend: str) -> None:
    """The step fails with the tool's own words, what it wrote is gone, and what was there before is whole."""
    with filesystems.ext4(tmp_path) as disk:
        store = create_store(str(disk / "store"), backend)
        there = {"TREESMITH_STORE": store.path}
        treesmith("build", recipe('[[step]]\nrun = "echo kept > /kept"\n', "small"), **there)
        free = os.statvfs(disk).f_bavail
        failed = treesmith("build", recipe('[[step]]\nrun = "cat /dev/zero > /big"\n'), status=1, **there)
        assert "No space left on device" in failed.stderr and "step 2: run" in failed.stderr
        assert set(store.names()) == {"small"} and not os.listdir(f"{store.path}/staging")
        assert os.statvfs(disk).f_bavail > free - 4096  # blocks: the first step's tree, cached
        assert treesmith("launch", "-q", "small", "--", "cat", "/kept", **there).stdout == "kept\n"
        treesmith("prune", **there)


def test_a_disk_that_is_full_before(treesmith: Command, tmp_path: Path, recipe: Callable[..., str]) -> None:
    with filesystems.ext4(tmp_path) as disk:
        store = create_store(str(disk / "store"), "overlay")
        there = {"TREESMITH_STORE": store.path}
        treesmith("build", recipe(name="small"), **there)
        with (disk / "filler").open("wb") as filler, pytest.raises(OSError, match="No space"):
            while True:
                filler.write(bytes(1 << 16))
                filler.flush()
        failed = treesmith("build", recipe('[[step]]\nrun = "echo x > /x"\n'), status=1, **there)
        assert "No space left on device" in failed.stderr, failed.stderr
        (disk / "filler").unlink()
        treesmith("prune", **there)
        assert set(store.names()) == {"small"} and not os.listdir(f"{store.path}/staging")
        treesmith("build", recipe('[[step]]\nrun = "echo x > /x"\n'), **there)


def test_no_shell_where_a_step_failed_without_a_terminal(
    treesmith: Command, store: Store, recipe: Callable[..., str]
) -> None:
    """The shell reads its commands from stdin, here nothing, and the step has still failed."""
    path = recipe('[[step]]\nrun = "false"\n')
    failed = treesmith("build", path, "--shell-on-failure", status=1)
    assert "step 2: run" in failed.stderr and not store.names()
