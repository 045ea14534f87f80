"""A plain user with subordinate ids, whom only this process's mounts know of; and the real command as that user."""

import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from launching import SOURCE

from treesmith.linux.remove import remove_tree

COUNT = 65536
NAME = "me"
Result = subprocess.CompletedProcess[str]


class Plain:
    """first: of the subordinate ids. folder: what others may enter, with the user's home and treesmith in it, wherever
    that is. `close` ends it."""

    def __init__(self) -> None:
        number = os.getpid() % 4096  # not the user of another run, whose namespace would be joined
        self.id = 50000 + number
        self.first = 0x30000000 + number * COUNT
        self.folder = Path(tempfile.mkdtemp(prefix="treesmith-plain-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.home = self._own("home")
        self.run_folder = self._own("run")
        self._mounted: list[Path] = []
        try:
            for name in ("source", "python", "etc"):
                (self.folder / name).mkdir()
            self._bind(SOURCE, self.folder / "source")
            self._bind(Path(sys.prefix), self.folder / "python")
            self._open_tun()
            self.say("passwd", f"{NAME}:x:{self.id}:{self.id}::{self.home}:/bin/sh")
            self.say("group", f"{NAME}:x:{self.id}:")
            self.say("subuid", f"{NAME}:{self.first}:{COUNT}")
            self.say("subgid", f"{NAME}:{self.first}:{COUNT}")
        except BaseException:
            self.close()
            raise

    def _own(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(mode=0o700)
        os.chown(path, self.id, self.id)
        return path

    def _open_tun(self) -> None:
        """As udev has it: /dev/net/tun is for everybody."""
        if os.path.exists("/dev/net/tun"):
            self.tun = self.folder / "tun"
            os.mknod(self.tun, stat.S_IFCHR | 0o666, os.makedev(10, 200))
            self.tun.chmod(0o666)
            self._bind(self.tun, Path("/dev/net/tun"))

    def say(self, name: str, line: str) -> None:
        """A file of /etc, with this as its last line."""
        file, real = self.folder / "etc" / name, Path("/etc", name)
        text = real.read_text() if real.exists() else ""
        file.write_text(text.rstrip("\n") + f"\n{line}\n")
        self._bind(file, real)

    def _bind(self, source: Path, target: Path) -> None:
        subprocess.run(["mount", "--bind", source, target], check=True)
        self._mounted.append(target)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.home), "LC_ALL": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(self.run_folder), "PYTHONPATH": str(self.folder / "source"),
        }  # fmt: skip

    @property
    def python(self) -> str:
        return str(self.folder / "python/bin" / Path(sys.executable).name)

    def argv(self, *words: str) -> list[str]:
        """To be run by root, with any environment."""
        known = [f"{name}={value}" for name, value in self.environment.items()]
        become = ["setpriv", f"--reuid={self.id}", f"--regid={self.id}", "--clear-groups", "--inh-caps=-all"]
        return [*become, "env", "-i", *known, self.python, "-m", "treesmith", *words]

    def run(self, *words: str, status: int | None = 0, **more: str) -> Result:
        """more: of the environment."""
        done = subprocess.run(
            [self.python, "-m", "treesmith", *words], env={**self.environment, **more}, cwd=self.home,
            user=self.id, group=self.id, extra_groups=[], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip
        assert status is None or done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
        return done

    def add(self, name: str, root: Path, status: int | None = 0) -> Result:
        """A sealed tree that is a copy of the folder `root`."""
        recipe = self.folder / f"{name}.toml"
        subprocess.run(["tar", "-C", root, "-cf", recipe.with_suffix(".tar"), "."], check=True)
        recipe.write_text(f'[[step]]\ntar = {{ file = "{name}.tar" }}\n')
        return self.run("build", "-q", str(recipe), status=status)

    @property
    def store(self) -> Path:
        return self.home / ".local/share/treesmith"

    def records(self) -> set[str]:
        """Of what runs."""
        found = os.walk(self.run_folder)
        kept = {str(self.run_folder / "treesmith/namespace")}
        paths = {f"{folder}/{name}" for folder, _, names in found for name in names if Path(folder).name != "filters"}
        return paths - kept

    def stop_all(self) -> None:
        for one in json.loads(self.run("ps", "--json").stdout)["containers"]:
            self.run("stop", "--timeout", "0", one["name"], status=None)

    def close(self) -> None:
        for target in reversed(self._mounted):
            subprocess.run(["umount", target], check=True)
        remove_tree(str(self.folder))
