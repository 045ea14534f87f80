"""What runs, frozen to disk and gone on with: where CRIU knows the kernel, as in the guest with systemd."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import filesystems
import pytest
import roots
from launching import Trees, wait_for

from treesmith.store import create_store

pytestmark = pytest.mark.skipif(
    subprocess.run(["sh", "-c", "criu check"], capture_output=True, check=False).returncode != 0,
    reason="criu check fails on this kernel: see tests/guest/systemd",
)
COUNT = "echo kept >/dev/shm/memory; /bin/count || exit; cat /dev/shm/memory; exit 5"
# As somebody with hardly a right, tries again and again to get out.
TRY = """
cd /tries/tmp; exec 7>/dev/shm/open 2>/dev/null
while :; do
    for way in "unshare -U true" "unshare -m true" "mount -t tmpfs tmpfs /tmp" "chroot / true" "mknod null c 1 3"; do
        $way && touch "went: $way"
    done
    touch tried; sleep 0.05
done
"""
BOUNDS = ("Umask", "Cap", "NoNewPrivs", "Seccomp", "Speculation", "SigIgn", "SigCgt")
SOURCE = Path(__file__).with_name("count.c")
_number = count()
overlay, btrfs = (pytest.mark.parametrize("trees", [name], indirect=True) for name in ("overlay", "btrfs"))
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


@pytest.fixture(scope="module", params=["overlay", "btrfs"])
def trees(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trees]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("trees")
        if request.param == "btrfs":
            folder = stack.enter_context(filesystems.btrfs(folder, 256 * filesystems.MIB))
        create_store(str(folder / "store"), request.param)
        made = Trees(folder)
        root = roots.busybox(folder / "counts")
        subprocess.run(["gcc", "-static", "-O", "-Wall", "-Werror", "-o", root / "bin/count", SOURCE], check=True)
        made.add("counts", root, sealed=True)
        yield made


@pytest.fixture
def counter(trees: Trees) -> Iterator[str]:
    """The name of a tree in which it counts."""
    name = trees.store.snapshot(trees.store.find("counts"), f"counter{next(_number)}").name
    start(trees, name, "--tmpfs", "/scratch", name, "--", "sh", "-c", COUNT)
    wait_for("it to count", lambda: len(counted(trees, name)) > 3)
    yield name
    trees.run("stop", "--signal", "KILL", name)


def start(trees: Trees, name: str, *words: str) -> None:
    done = trees.run("launch", "-q", "-d", *words)
    assert done.stdout == f"{name}\n", done.stderr


def freeze(trees: Trees, name: str) -> None:
    done = trees.run("checkpoint", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert not running(trees, name) and frozen(trees, name).is_dir()


def go_on(trees: Trees, name: str) -> None:
    start(trees, name, "--from-checkpoint", name)
    assert not frozen(trees, name).exists()


def counted(trees: Trees, name: str) -> list[str]:
    return trees.run("enter", name, "--", "cat", "/counted").stdout.split()


def frozen(trees: Trees, name: str) -> Path:
    return Path(trees.store.find(name).home, "checkpoint")


def running(trees: Trees, name: str) -> bool:
    return f'"name": "{name}"' in trees.run("ps", "--json").stdout


def counts_to_the_end(trees: Trees, name: str) -> None:
    """It counts without a gap, and ends with its own status."""
    before = len(counted(trees, name))
    assert before
    wait_for("it to count", lambda: len(counted(trees, name)) > before + 2)
    numbers = counted(trees, name)
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    trees.run("enter", name, "--", "touch", "/stop")
    assert trees.run("wait", name).stdout == "5\n"
    assert trees.run("logs", name).stdout.endswith("kept\n")


def about(trees: Trees, name: str) -> list[object]:
    """All that bounds the first two processes of a container, as it is seen from outside; no number that is another one
    each time."""
    record = next(each for each in _records(trees) if each["name"] == name)
    assert trees.run("freeze", name).returncode == 0
    cgroup = Path("/sys/fs/cgroup" + Path(f"/proc/{record['pid']}/cgroup").read_text().strip().removeprefix("0::"))
    found: list[object] = [cgroup.name.startswith("treesmith-")]
    for pid in map(int, cgroup.joinpath("cgroup.procs").read_text().split()):
        process = Path(f"/proc/{pid}")
        first = int(process.joinpath("uid_map").read_text().split()[1])
        status = dict(line.split(":\t", 1) for line in process.joinpath("status").read_text().splitlines())
        number = status["NSpid"].split()[1]
        if number not in ("1", "2"):
            continue
        found += [number, *((key, value) for key, value in status.items() if key.startswith(BOUNDS))]
        found += [[int(id) - first for id in status[key].split()] for key in ("Uid", "Gid", "Groups")]
        found += [process.joinpath("uid_map").read_text().split()[::2], process.stat().st_uid - first]
        found += [process.joinpath(file).read_text() for file in ("limits", "oom_score_adj", "environ")]
        found += [os.readlink(process / link) for link in ("exe", "cwd", "root")]
        fds = sorted(process.joinpath("fd").iterdir())
        found += [(fd.name, os.readlink(fd).partition("[")[0]) for fd in fds]
        found += [fd.stat().st_uid - first for fd in fds if fd.is_fifo()]
        found += [os.readlink(process / "ns" / each) != os.readlink(f"/proc/self/ns/{each}") for each in NAMESPACES]
    inside = [
        "nsenter",
        "--target",
        str(record["pid"]),
        "--cgroup",
        "--mount",
        "--pid",
        "/bin/cat",
        "/proc/self/mountinfo",
    ]
    mounts = subprocess.run(inside, capture_output=True, text=True, check=True).stdout
    assert len(mounts.splitlines()) > 20
    assert trees.run("thaw", name).returncode == 0
    return [*found, *sorted(_mount(line) for line in mounts.splitlines())]


def _records(trees: Trees) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(trees.run("ps", "--json").stdout)["containers"]
    return found


def _mount(line: str) -> str:
    left, _, right = line.partition(" - ")
    options = [each for each in right.split()[2].split(",") if not each.startswith(("uid=", "gid="))]
    return " ".join([*left.split()[3:], *right.split()[:2], *options])


def test_it_goes_on_where_it_was(trees: Trees, counter: str) -> None:
    before = about(trees, counter)
    freeze(trees, counter)
    for words in (("launch", "-q", counter, "--", "true"), ("mount", counter), ("seal", counter)):
        refused = trees.run(*words)
        assert refused.returncode in (1, 125) and "is frozen to disk" in refused.stderr, words
    odd = trees.run("launch", "--from-checkpoint", "--memory", "1G", counter)
    assert odd.returncode == 125 and "--from-checkpoint and --memory exclude each other" in odd.stderr

    go_on(trees, counter)
    assert about(trees, counter) == before
    freeze(trees, counter)  # and once more
    go_on(trees, counter)
    assert about(trees, counter) == before
    counts_to_the_end(trees, counter)
    assert "nothing of" in trees.run("launch", "--from-checkpoint", counter).stderr
    assert not [name for name in os.listdir("/tmp") if "criu" in name or "crtools" in name]


@btrfs
def test_it_goes_on_in_a_copy_and_elsewhere(trees: Trees, counter: str, tmp_path: Path) -> None:
    """In a tree that was renamed, in its snapshot, in a copy of the store that it was moved to."""
    freeze(trees, counter)
    assert trees.run("rename", counter, f"{counter}-renamed").returncode == 0
    assert trees.run("snapshot", f"{counter}-renamed", f"{counter}-copy").returncode == 0
    assert trees.run("migrate", "--to", f"overlay:{tmp_path}/moved").returncode == 0
    subprocess.run(["cp", "-a", tmp_path / "moved", tmp_path / "copied"], check=True)
    names = [f"{counter}-renamed", f"{counter}-copy"]
    for name in names:
        go_on(trees, name)
    for name in names:
        counts_to_the_end(trees, name)
    trees.run("rename", names[0], counter)

    here, trees.store = trees.store, create_store(str(tmp_path / "copied"))
    trees.environment["TREESMITH_STORE"] = trees.store.path
    try:
        go_on(trees, names[1])
        counts_to_the_end(trees, names[1])
    finally:
        trees.store, trees.environment["TREESMITH_STORE"] = here, here.path


@overlay
def test_nothing_is_committed_of_what_goes_on(trees: Trees) -> None:
    """At an end that is none. Here the commit fails, which is said: there is no etckeeper."""
    name = trees.fresh()
    trees.store.update(trees.store.find(name), launch={"etckeeper": True})
    start(trees, name, name, "--", "sh", "-c", "until test -e /stop; do sleep 0.1; done")
    freeze(trees, name)
    assert "is not committed" not in trees.run("logs", name).stdout
    go_on(trees, name)
    trees.run("enter", name, "--", "touch", "/stop")
    assert trees.run("wait", name).stdout == "0\n"
    assert "is not committed" in trees.run("logs", name).stdout


@overlay
def test_it_gets_no_further_than_before(trees: Trees) -> None:
    name = trees.fresh()
    bounds = ("--user", "me", "--cap-drop", "SETUID", "--read-only", "--setenv", "SOME=thing", "--hostname", "bounded")
    start(trees, name, *bounds, "--tmpfs", "/tries/tmp:1M", name, "--", "sh", "-c", TRY)

    def tries() -> str:
        return trees.run("enter", name, "--", "ls", "/tries/tmp").stdout

    try:
        wait_for("it to try", lambda: "tried" in tries())
        before = about(trees, name)
        freeze(trees, name)
        go_on(trees, name)
        assert about(trees, name) == before
        assert trees.run("enter", name, "--", "hostname").stdout == "bounded\n"
        trees.run("enter", "--user", "root", name, "--", "rm", "/tries/tmp/tried")
        wait_for("it to try again", lambda: "tried" in tries())
        assert tries() == "tried\n"
    finally:
        trees.run("stop", "--signal", "KILL", name)


@overlay
def test_what_was_changed_is_refused(trees: Trees, counter: str) -> None:
    freeze(trees, counter)
    image = frozen(trees, counter) / "core-1.img"
    whole = image.read_bytes()
    image.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    for _ in range(2):
        done = trees.run("launch", "-q", "--from-checkpoint", counter)
        assert done.returncode == 125 and "its files are not those that were written" in done.stderr
        image.unlink(missing_ok=True)
    image.write_bytes(whole)
    go_on(trees, counter)
    counts_to_the_end(trees, counter)


@btrfs
def test_what_cannot_be_restored_stays(trees: Trees, counter: str) -> None:
    """A file that it maps is another one: CRIU sees that, and nothing has run."""
    freeze(trees, counter)
    before = sorted(os.listdir(frozen(trees, counter)))
    program = Path(trees.store.find(counter).home, "root/bin/count")
    whole = program.read_bytes()
    program.write_bytes(whole + b"more")
    done = trees.run("launch", "-q", "--from-checkpoint", counter)
    assert done.returncode == 125 and "could not be restored" in done.stderr and "criu restore: " in done.stderr, (
        done.stderr
    )
    assert sorted(os.listdir(frozen(trees, counter))) == before
    program.write_bytes(whole)
    go_on(trees, counter)
    counts_to_the_end(trees, counter)


@overlay
def test_killed_while_it_is_frozen(trees: Trees, counter: str) -> None:
    """It runs on, or all of it is there; never both."""
    making = frozen(trees, counter).with_name("checkpoint.new")
    for at in ("inventory.img", "core-1.img", "pages-1.img", "exe", "state.json"):
        process = trees.start("checkpoint", counter)
        wait_for(at, lambda at=at, process=process: (making / at).exists() or process.poll() is not None)
        process.kill()
        process.communicate()
        wait_for("one or the other", lambda: frozen(trees, counter).exists() != running(trees, counter))
        if frozen(trees, counter).exists():
            go_on(trees, counter)
    counts_to_the_end(trees, counter)
    assert trees.run("launch", "-q", counter, "--", "true").returncode == 0
    assert not making.exists()


@overlay
def test_killed_while_it_is_restored(trees: Trees, counter: str) -> None:
    """It stays what it was, or has run again, and has died with its supervisor."""
    freeze(trees, counter)
    begun = time.monotonic()
    go_on(trees, counter)
    took = time.monotonic() - begun
    for part in (0.5, 0.65, 0.8, 0.9):
        freeze(trees, counter)
        process = trees.start("launch", "-q", "--from-checkpoint", counter)
        time.sleep(took * part)
        process.kill()
        process.communicate()
        assert trees.run("prune").returncode == 0
        assert not running(trees, counter)
        if not frozen(trees, counter).exists():
            return
        go_on(trees, counter)
    counts_to_the_end(trees, counter)


@overlay
def test_who_has_entered_hinders_it(trees: Trees, counter: str) -> None:
    with trees.start("enter", counter, "--", "sleep", "100") as inside:
        wait_for("it to be inside", lambda: "sleep 100" in _commands())
        done = trees.run("checkpoint", counter)
        assert done.returncode == 1 and "treesmith enter" in done.stderr
        inside.terminate()
    counts_to_the_end(trees, counter)


def _commands() -> str:
    found = ""
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            found += Path("/proc", pid, "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found
