"""A store with one sealed busybox tree, and the real command driven on it: through pipes, and through a terminal."""

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import roots

from treesmith.store import Store, Tree, create_store

SOURCE = Path(__file__).parent.parent
PATIENCE = 20.0  # s; only a failure waits that long


class Trees:
    """A store, and the command on it. `base` is sealed; `fresh` makes writable trees of it."""

    def __init__(self, path: Path) -> None:
        self.store: Store = create_store(str(path / "store"))
        self.environment = {**os.environ, "TREESMITH_STORE": self.store.path, "PYTHONPATH": str(SOURCE)}
        self._count = 0
        self.add("base", roots.busybox(path / "busybox"), sealed=True)

    def add(self, name: str, root: Path, sealed: bool = False) -> Tree:
        """A tree that is a copy of the folder `root`."""
        with self.store.stage() as stage:
            stage.create()
            view = self.store.backend.open(stage, "rw")
            mount = view.mount()
            subprocess.run(["cp", "-a", f"{root}/.", f"/proc/{os.getpid()}/fd/{mount}/"], check=True)
            os.close(mount)
            view.close()
            return self.store.publish(stage, "build", name, sealed=sealed)

    def fresh(self) -> str:
        """The name of a new writable tree."""
        self._count += 1
        return self.store.snapshot(self.store.find("base"), f"tree{self._count}").name

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "treesmith", *words]

    def run(self, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
        given: dict[str, object] = {"stdin": subprocess.DEVNULL} if "input" not in options else {}
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            self.argv(*words), env=self.environment, text=True, capture_output=True, check=False, timeout=PATIENCE * 3,
            **given, **options,
        )  # fmt: skip

    def sh(self, script: str, *options: str, tree: str = "base") -> str:
        """What a shell script says on stdout; it must succeed."""
        done = self.run("launch", "--quiet", tree, *options, "--", "sh", "-c", script)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout

    def apart(self, script: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A shell script in a mount namespace of its own; "$@" in it is the command."""
        argv = ["unshare", "-m", "sh", "-c", script, "sh", *self.argv(*words)]
        return subprocess.run(argv, env=self.environment, text=True, capture_output=True, check=False)

    def start(self, *words: str, **options: object) -> subprocess.Popen[bytes]:
        given: dict[str, object] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **options}
        return subprocess.Popen(self.argv(*words), env=self.environment, **given)  # type: ignore[call-overload,no-any-return]


class Terminal:
    """A command on a terminal of its own, as a person sees it."""

    def __init__(self, argv: list[str], environment: dict[str, str], rows: int = 30, columns: int = 100) -> None:
        self.master, self.slave = os.openpty()
        self.resize(rows, columns)
        self.modes = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            argv, env=environment, stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )  # fmt: skip
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, text: str) -> str:
        """Wait until it was written; returns what came before."""
        end = time.monotonic() + PATIENCE
        while text.encode() not in self.seen:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], f"no {text!r} in {self.seen!r}"
            self.seen += os.read(self.master, 65536)
        before, _, self.seen = self.seen.partition(text.encode())
        return before.decode()

    def end(self) -> int:
        """Its exit status; -N for the signal N. The terminal must be as it was."""
        status = self.process.wait(PATIENCE)
        assert termios.tcgetattr(self.slave) == self.modes
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_for(what: str, condition: object) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)
