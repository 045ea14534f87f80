"""An Arch of a few tiny packages, signed, that pacman takes for one; busybox stands in for its programs. Built once and
kept in /var/tmp, under a key of everything it is made of.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from offline import deb
from offline.deb import Key
from offline.debian import CACHE

MACHINE = platform.machine()
APPLETS = ("sh", "ls", "cat", "echo", "mkdir", "rm", "touch", "true")


@dataclass(frozen=True)
class Package:
    name: str
    files: Mapping[str, str] = field(default_factory=dict)  # path -> text
    needs: tuple[str, ...] = ()
    script: str = ""  # .INSTALL
    version: str = "1.0"


PACKAGES = (
    Package("filesystem", {"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/group": "root:x:0:\n"}),
    Package("busybox", needs=("filesystem",)),
    Package(
        "hello",
        {"usr/bin/hello": "#!/bin/sh\necho hello from $(cat /etc/hello.conf)\n", "etc/hello.conf": "conf\n"},
        ("busybox",),
        "post_install() {\n  echo post >/var/hello.post\n}\n",
    ),
    Package("badpost", {}, ("busybox",), "post_install() {\n  echo from post >&2\n  return 3\n}\n"),
    Package("unmet", {}, ("nothere",)),
    Package("conflict", {"etc/hello.conf": "other\n"}, ("hello",)),
)


@dataclass(frozen=True)
class Arch:
    """A repository on disk, and the keyring whose signatures its packages have."""

    folder: Path
    keyring: Path

    def copy(self, to: Path) -> "Arch":
        """One of the test's own, to be changed."""
        shutil.copytree(self.folder, to, symlinks=True)
        return Arch(to, self.keyring)

    def publish(self, name: str, version: str) -> None:
        """Another version of one of PACKAGES, unsigned; only for a copy."""
        package = next(one for one in PACKAGES if one.name == name)
        with tempfile.TemporaryDirectory() as folder:
            self.add(_package(replace(package, version=version), Path(folder, name), self.folder))

    def add(self, *packages: Path, name: str = "core") -> None:
        """Write packages into the list of contents."""
        subprocess.run(["repo-add", "-q", str(self.folder / f"{name}.db.tar.gz"), *map(str, packages)], check=True)


def arch() -> Arch:
    """The repository, built if the cache has none of this key."""
    digest = hashlib.sha256(Path(__file__).read_bytes() + Path(deb.__file__).read_bytes())
    digest.update(str(os.stat("/bin/busybox").st_size).encode())
    home = CACHE / f"arch-{digest.hexdigest()[:16]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "arch.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            making = CACHE / f"making-arch-{os.getpid()}"
            _make(making)
            making.rename(home)
    return Arch(home / "repo", home / "key.gpg")


def vendor(folder: Path) -> Arch:
    """A repository of one small package, for what `arch` has, with a key of its own."""
    folder.mkdir()
    return _make(folder, "vendor", [Package("extra", {}, ("busybox",))])


def _make(making: Path, name: str = "core", packages: Sequence[Package] = PACKAGES) -> Arch:
    key = Key(making / "gpg")
    key.export(making / "key.gpg")
    repo = making / "repo"
    repo.mkdir()
    made = [_package(package, making / package.name, repo) for package in packages]
    for path in made:
        key.detach(path)
    arch = Arch(repo, making / "key.gpg")
    arch.add(*made, name=name)
    return arch


def _package(package: Package, root: Path, repo: Path) -> Path:
    root.mkdir()
    for name, text in package.files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        (root / name).chmod(0o755 if "/bin/" in name else 0o644)
    if package.name == "filesystem":
        for name in ("dev", "proc", "sys", "run", "root", "tmp", "var", "usr/bin", "usr/lib"):
            (root / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib"):
            (root / name).symlink_to("usr/lib" if name == "lib" else "usr/bin")
    if package.name == "busybox":
        (root / "usr/bin").mkdir(parents=True)
        shutil.copy("/bin/busybox", root / "usr/bin/busybox")
        for applet in APPLETS:
            (root / "usr/bin" / applet).symlink_to("busybox")
    about = [
        f"pkgname = {package.name}",
        f"pkgbase = {package.name}",
        f"pkgver = {package.version}-1",
        "pkgdesc = x",
        "url = x",
    ]
    about += ["builddate = 1700000000", "packager = test", "size = 1"]
    about += [f"arch = {MACHINE}", "license = MIT"]
    about += [f"depend = {name}" for name in package.needs]
    (root / ".PKGINFO").write_text("\n".join(about) + "\n")
    first = [".PKGINFO"]
    if package.script:
        (root / ".INSTALL").write_text(package.script)
        first.append(".INSTALL")
    names = [*first, *sorted(name for name in os.listdir(root) if name not in first)]
    path = repo / f"{package.name}-{package.version}-1-{MACHINE}.pkg.tar.zst"
    owner = ["--owner=root:0", "--group=root:0"]
    subprocess.run(["tar", "--zstd", *owner, "-cf", str(path), "-C", str(root), *names], check=True)
    return path
