"""The known ways out of containers: each fills a root, and says what is to be tried in it."""

import fcntl
import os
import shutil
import socket
import stat
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import roots
from launching import PATIENCE

from treesmith.linux.file import RENAME_EXCHANGE, rename

HELD, OUT = "held", "OUT"
SECRET = "a token that stands nowhere else\n"

PATTERN = Path("/proc/sys/kernel/core_pattern")
NESTED = "a user namespace of its own"


class Scene:
    """A root to be filled, beside what it may not reach: a folder with a secret, a process, and what a caller has; and
    a folder that is bound in."""

    def __init__(self, folder: Path, probe: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.probe = probe
        self.root = roots.busybox(folder / "root")
        shutil.copy(probe, self.root / "escape")
        (self.root / "usr").mkdir()
        (self.root / "etc/os-release").write_text("ID=busybox\n")  # systemd-nspawn asks for both
        self.decoy, self.shared = folder / "decoy", folder / "shared"
        self.decoy.mkdir()
        self.shared.mkdir()
        self.shared.chmod(0o777)  # also for root of a user's containers, whose folder it is not
        (self.decoy / "secret").write_text(SECRET)
        self.binds: list[str] = []
        self.command = ["true"]
        self.chdir = ""  # LEAKED in it is the number of the descriptor that leaks
        self.caller: list[str] = []  # what the launcher is started by
        self.leak = False
        self.watched = False
        self.tty = False
        self.times = 1
        self.beside: Callable[[], None] | None = None  # done again and again meanwhile
        self.opened = ExitStack()
        self.typed = 0
        self.said = ""

    def close(self) -> None:
        self.opened.close()

    def run(self, argv: "Callable[[Scene], list[str]]", environment: dict[str, str]) -> str:
        """What came of it. argv: what launches a scene."""
        there = set(self.shared.iterdir())
        try:
            with self._beside():
                return OUT if any(self._once(argv, environment) for _ in range(self.times)) else HELD
        finally:
            for path in set(self.shared.iterdir()) - there:
                path.unlink()

    def _once(self, argv: "Callable[[Scene], list[str]]", environment: dict[str, str]) -> bool:
        before = self.decoy_state()
        pattern = PATTERN.read_text()
        leaked = os.open(self.decoy, os.O_RDONLY | os.O_DIRECTORY)
        master, slave = os.openpty()
        stdin = slave if self.tty else subprocess.DEVNULL
        chdir, self.chdir = self.chdir, self.chdir.replace("LEAKED", str(leaked))
        try:
            with subprocess.Popen(
                [*self.caller, *argv(self)], env=environment, stdin=stdin, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, pass_fds=[leaked] if self.leak else [], start_new_session=True,
            ) as process:  # fmt: skip
                is_root = self.watched and self._is_root(process)
                said, _ = process.communicate(timeout=PATIENCE * 2)
            waiting = bytearray(4)
            fcntl.ioctl(slave, termios.FIONREAD, waiting)
            self.typed = struct.unpack("i", waiting)[0]
        finally:
            self.chdir = chdir
            for fd in (leaked, master, slave):
                os.close(fd)
            changed = PATTERN.read_text() != pattern
            if changed:
                PATTERN.write_text(pattern)
        setuid = [path for path in self.shared.iterdir() if path.lstat().st_mode & stat.S_ISUID]
        self.said = said.decode(errors="replace")
        touched = self.decoy_state() != before
        for path in (path for path in self.decoy.iterdir() if path.name != "secret"):
            path.rmdir() if path.is_dir() else path.unlink()
        got = SECRET.strip() in self.said or OUT in self.said or changed or setuid or is_root or self.typed or touched
        return bool(got)

    @contextmanager
    def _beside(self) -> Iterator[None]:
        ended = threading.Event()

        def work() -> None:
            while self.beside and not ended.is_set():
                self.beside()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _is_root(self, process: "subprocess.Popen[bytes]") -> bool:
        """Whether the command, as the host sees it, is the host's root."""
        while process.poll() is None:
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    if (folder / "cmdline").read_bytes().split(b"\0")[:-1] == list(map(os.fsencode, self.command)):
                        return "Uid:\t0\t" in (folder / "status").read_text()
                except OSError:
                    continue
            time.sleep(0.01)
        return False

    def decoy_state(self) -> list[tuple[str, int, int]]:
        return [
            (path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in (self.decoy, *self.decoy.iterdir())
        ]

    def script(self, text: str) -> None:
        self.command = ["sh", "-c", f"{text}; true"]


def executables(scene: Scene) -> None:
    scene.command = ["/escape", "executables"]


def interpreter(scene: Scene) -> None:
    (scene.root / "evil").write_text("#!/proc/self/exe --version\n")
    (scene.root / "evil").chmod(0o755)
    scene.command = ["/evil"]


def descriptors(scene: Scene) -> None:
    scene.leak = True
    scene.command = ["/escape", "descriptors"]


def directory(scene: Scene) -> None:
    scene.leak = True
    scene.chdir = "/proc/self/fd/LEAKED"
    scene.script(f"cat secret ../decoy/secret {'../' * 20}{scene.decoy}/secret")


def null(scene: Scene) -> None:
    (scene.root / "dev").mkdir()
    (scene.root / "dev/null").symlink_to(PATTERN)
    scene.script(f"echo bad > /dev/null; echo bad > {PATTERN}; echo bad > /proc/sysrq-trigger")


def console(scene: Scene) -> None:
    (scene.root / "dev/pts").mkdir(parents=True)
    for name in ("console", "ptmx", "pts/0", "pts/ptmx"):
        (scene.root / "dev" / name).symlink_to(scene.decoy / "secret")
    scene.tty = True
    scene.script("for f in console ptmx pts/0; do test -f /dev/$f && cat /dev/$f; done")


def proc(scene: Scene) -> None:
    (scene.root / "proc").symlink_to(scene.decoy)
    scene.command = ["cat", "/proc/secret"]


def false_proc(scene: Scene) -> None:
    """What a launcher writes there goes to the host."""
    for name in ("self", "thread-self", "1", "sys"):
        (scene.shared / name).symlink_to(scene.decoy)
    scene.binds = [f"{scene.shared}:/proc"]


def etc(scene: Scene) -> None:
    shutil.rmtree(scene.root / "etc")
    (scene.root / "etc").symlink_to(scene.decoy)
    scene.command = ["cat", "/etc/secret"]


def bound(scene: Scene) -> None:
    (scene.root / "data").symlink_to(scene.decoy)
    scene.binds = [f"{scene.shared}:/data/below"]
    scene.command = ["cat", "/data/secret"]


def race(scene: Scene) -> None:
    """Somebody who has the folder already exchanges another bind's target in it for a way out."""
    (scene.shared / "data").mkdir()
    (scene.shared / "swap").symlink_to(scene.decoy)
    scene.binds = [f"{scene.shared}:/shared", f"{scene.decoy.parent}/inner:/shared/data/below"]
    (scene.decoy.parent / "inner").mkdir()
    scene.script("cat /shared/data/secret /shared/swap/secret")
    scene.times = 4
    scene.beside = lambda: rename(f"{scene.shared}/data", f"{scene.shared}/swap", RENAME_EXCHANGE)


def typing(scene: Scene) -> None:
    scene.tty = True
    scene.command = ["/escape", "type"]


def setuid(scene: Scene) -> None:
    scene.binds = [f"{scene.shared}:/shared"]
    scene.command = ["/escape", "setuid"]


def disk(scene: Scene) -> None:
    numbers = os.stat(scene.decoy).st_dev
    made = f"mknod /disk b {os.major(numbers)} {os.minor(numbers)}"
    mount = f"for t in ext4 xfs btrfs; do mount -t $t -o ro /disk /mnt && echo {OUT}; done"
    scene.script(f"{made}; head -c 1 /disk >/dev/null 2>&1 && echo {OUT}; mkdir /mnt; {mount}")


def node(scene: Scene) -> None:
    os.mknod(scene.root / "kmsg", stat.S_IFCHR | 0o666, os.makedev(1, 11))
    scene.script(f"mount -o remount,dev /; (: < /kmsg) && echo {OUT}")


def log(scene: Scene) -> None:
    scene.script(f"dmesg >/dev/null && echo {OUT}; (: < /dev/kmsg) && echo {OUT}")


def handle(scene: Scene) -> None:
    said = subprocess.check_output([scene.probe, "handle-of", scene.decoy / "secret"], text=True)
    scene.binds = [f"{scene.shared}:/shared"]
    scene.command = ["/escape", "handle", said]


def sysctls(scene: Scene) -> None:
    """Opened to be written, no more. vm.* and fs.* are the host's for everybody."""
    names = ("kernel/core_pattern", "kernel/modprobe", "kernel/sysrq", "vm/panic_on_oom", "fs/suid_dumpable")
    files = " ".join(f"/proc/sys/{name}" for name in names)
    undone = "mount -o remount,bind,rw /proc/sys; mount -o remount,rw /proc; umount /proc/sys; mount -t proc p /proc"
    scene.script(f"({undone}) 2>/dev/null; for f in {files} /proc/sysrq-trigger; do (: >> $f) && echo {OUT}; done")


def release_agent(scene: Scene) -> None:
    """What the host's root executes when a cgroup is empty; and the cgroups of others."""
    mount = "mkdir /g; for c in memory cpu pids devices freezer; do mkdir /g/$c; mount -t cgroup -o $c g /g/$c; done"
    files = "$(find /g /sys/fs/cgroup -name release_agent) /g/*/devices.allow"
    scene.script(f"({mount}) 2>/dev/null; for f in {files}; do (: >> $f) 2>/dev/null && echo {OUT}; done")


def others(scene: Scene) -> None:
    """By the first process, or any other that is seen: their roots, and their mounts."""
    secret = f"{scene.decoy}/secret"
    seen = f'for p in /proc/[0-9]*; do cat "$p/root{secret}" "$p/cwd{secret}"; chroot $p/root cat {secret}; done'
    scene.script(f"({seen}; nsenter -t 1 -m cat {secret}; cat {'../' * 20}{secret}) 2>/dev/null")


def process(scene: Scene) -> None:
    sleeper = subprocess.Popen(["sleep", "1000"])
    scene.opened.callback(sleeper.wait)
    scene.opened.callback(sleeper.kill)
    scene.script(f"/escape process {sleeper.pid}; cat /proc/{sleeper.pid}/root{scene.decoy}/secret")


def key(scene: Scene) -> None:
    scene.caller = [str(scene.probe), "with-key", SECRET.strip()]
    scene.command = ["/escape", "key"]


def calls(scene: Scene) -> None:
    scene.command = ["/escape", "calls"]


def abstract(scene: Scene) -> None:
    name = f"treesmith-{scene.root}"[-90:]
    server = scene.opened.enter_context(socket.socket(socket.AF_UNIX))
    server.bind(f"\0{name}")
    server.listen()
    server.setblocking(False)
    scene.command = ["/escape", "ask", name]

    def answer() -> None:
        try:
            with server.accept()[0] as client:
                client.sendall(SECRET.encode())
        except BlockingIOError:
            time.sleep(0.01)

    scene.beside = answer


def debugging(scene: Scene) -> None:
    kinds = "debugfs tracefs securityfs configfs pstore efivarfs"
    scene.script(f"mkdir /mnt; for t in {kinds}; do mount -t $t none /mnt 2>/dev/null && echo {OUT}; done")


def namespaces(scene: Scene) -> None:
    scene.script(f"unshare -U true && echo {OUT}")


def identity(scene: Scene) -> None:
    scene.watched = True
    scene.command = ["sleep", "0.5001"]


WAYS: dict[str, Callable[[Scene], None]] = {
    "CVE-2019-5736: write to running programs": executables,
    "CVE-2019-5736: #!/proc/self/exe": interpreter,
    "CVE-2024-21626: a descriptor of the caller's": descriptors,
    "CVE-2024-21626: it is the working directory": directory,
    "CVE-2025-31133: /dev/null leads to /proc/sys": null,
    "CVE-2025-52565: console and ptys lead out": console,
    "CVE-2025-52881, 2019-19921: /proc leads out": proc,
    "CVE-2025-52881, 2019-19921: /proc is false": false_proc,
    "/etc leads out": etc,
    "a bind's target leads out": bound,
    "CVE-2021-30465: a bind's target is exchanged": race,
    "TIOCSTI into the caller's terminal": typing,
    "a setuid file in a folder bound in": setuid,
    "a node of the host's disk, made and mounted": disk,
    "a node that the root brings": node,
    "the kernel's log": log,
    "open_by_handle_at (shocker)": handle,
    "/proc/sys, when all is undone": sysctls,
    "CVE-2022-0492: release_agent": release_agent,
    "others' roots, and the first one's mounts": others,
    "a process of the host: ptrace, kill, its root": process,
    "a key of the caller's session": key,
    "userfaultfd, bpf, perf_event_open": calls,
    "an abstract socket of the host": abstract,
    "debugfs, tracefs, securityfs": debugging,
    NESTED: namespaces,
    "root inside is the host's root": identity,
}
