"""An Alpine of a few tiny packages, signed, that apk takes for one; busybox stands in for its programs. By apk's own
mkpkg and mkndx, of apk-tools 3.
"""

import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

APPLETS = ("sh", "cat", "echo", "mkdir", "rm", "touch", "true", "ls")


@dataclass(frozen=True)
class Package:
    name: str
    files: Mapping[str, str] = field(default_factory=dict)  # path -> text
    needs: str = ""
    script: str = ""  # post-install
    version: str = "1.0-r0"


PACKAGES = (
    Package("baselayout", {"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/group": "root:x:0:\n"}),
    Package("busybox", needs="baselayout"),
    Package(
        "hello",
        {"usr/bin/hello": "#!/bin/sh\necho hello from $(cat /etc/hello.conf)\n", "etc/hello.conf": "conf\n"},
        "busybox",
        "#!/bin/sh\necho post >/var/hello.post\n",
    ),
    Package("badpost", {"etc/bad": "x"}, "busybox", "#!/bin/sh\necho from post >&2\nexit 3\n"),
    Package("unmet", {}, "nothere"),
    Package("conflict", {"etc/hello.conf": "other\n"}, "hello"),
)


@dataclass(frozen=True)
class Alpine:
    """A repository on disk."""

    folder: Path
    key: Path  # private; the public one is beside it

    @property
    def index(self) -> Path:
        return self.folder / "packages.adb"

    @property
    def keyring(self) -> Path:
        return self.key.with_name(f"{self.key.name}.pub")

    def publish(self, *packages: Package, signed: bool = True) -> None:
        for package in packages:
            self._pack(package, signed)
        self.list(signed)

    def list(self, signed: bool = True) -> None:
        """Write the list of contents."""
        sign = [f"--sign-key={self.key}"] if signed else []
        paths = map(str, sorted(self.folder.glob("*.apk")))
        _apk("mkndx", "--allow-untrusted", *sign, f"--output={self.index}", *paths)

    def _pack(self, package: Package, signed: bool) -> None:
        root = self.folder.parent / f"root-{package.name}"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for name, text in package.files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
            (root / name).chmod(0o755 if "/bin/" in name else 0o644)
        if package.name == "baselayout":
            for name in ("dev", "proc", "sys", "run", "root", "tmp", "var", "usr/bin"):
                (root / name).mkdir(parents=True)
            (root / "bin").symlink_to("usr/bin")
        if package.name == "busybox":
            (root / "usr/bin").mkdir(parents=True)
            shutil.copy("/bin/busybox", root / "usr/bin/busybox")
            for applet in APPLETS:
                (root / "usr/bin" / applet).symlink_to("busybox")
        words = [f"--files={root}", f"--output={self.folder}/{package.name}-{package.version}.apk"]
        said = {"name": package.name, "version": package.version, "arch": platform.machine(), "depends": package.needs}
        words += [f"--info={key}:{value}" for key, value in said.items() if value]
        if package.script:
            script = self.folder.parent / "script"
            script.write_text(package.script)
            words.append(f"--script=post-install:{script}")
        _apk("mkpkg", *words, *([f"--sign-key={self.key}"] if signed else []))


def alpine(folder: Path, name: str = "test", packages: tuple[Package, ...] = PACKAGES) -> Alpine:
    """A repository with a key of its own."""
    made = Alpine(folder / "repo", folder / f"{name}.rsa")
    made.folder.mkdir(parents=True)
    subprocess.run(["openssl", "genrsa", "-out", str(made.key), "2048"], check=True, capture_output=True)
    argv = ["openssl", "rsa", "-in", str(made.key), "-pubout", "-out", str(made.keyring)]
    subprocess.run(argv, check=True, capture_output=True)
    made.publish(*packages)
    return made


def _apk(*words: str) -> None:
    subprocess.run(["apk", *words], check=True, stdout=subprocess.DEVNULL)
