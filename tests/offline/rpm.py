"""A Fedora of a few tiny packages, signed, that dnf and zypper take for one; busybox stands in for its programs. Built
once and kept in /var/tmp, under a key of everything it is made of.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from offline import deb
from offline.deb import Key
from offline.debian import CACHE

HEAD = "Version: {version}\nRelease: 1\nSummary: x\nLicense: MIT\n"
EMPTY = "%description\nx\n"
NOARCH = "BuildArch: noarch\n"
SPECS: Mapping[str, str] = {
    "filesystem": f"""{HEAD}{EMPTY}%install
mkdir -p %{{buildroot}}/{{dev,proc,sys,run,tmp,root,var/{{lib,tmp,log}},etc,usr/{{bin,sbin,lib,lib64,share}}}}
for d in bin sbin lib lib64; do ln -s usr/$d %{{buildroot}}/$d; done
%files
%attr(1777,root,root) %dir /tmp
%attr(1777,root,root) %dir /var/tmp
%attr(0550,root,root) %dir /root
%dir /dev
%dir /proc
%dir /sys
%dir /run
%dir /etc
%dir /usr
%dir /usr/*
%dir /var
%dir /var/l*
/bin
/sbin
/lib
/lib64
""",
    "setup": f"""{HEAD}{NOARCH}Requires: filesystem
{EMPTY}%install
mkdir -p %{{buildroot}}/etc
printf 'root:x:0:0::/root:/bin/sh\\ndaemon:x:2:2::/:/bin/false\\n' >%{{buildroot}}/etc/passwd
printf 'root:x:0:\\nmail:x:12:\\n' >%{{buildroot}}/etc/group
%files
/etc/passwd
/etc/group
""",
    "busybox": f"""{HEAD}Requires: setup
Provides: /bin/sh /usr/bin/sh
{EMPTY}%install
mkdir -p %{{buildroot}}/usr/bin
cp /bin/busybox %{{buildroot}}/usr/bin/busybox
for a in sh ls cat echo mkdir rm cp id uname env touch dd true; do ln -s busybox %{{buildroot}}/usr/bin/$a; done
%files
/usr/bin/*
""",
    "fedora-release": f"""{HEAD}{NOARCH}Requires: filesystem
Provides: system-release = 40, system-release(releasever) = 40
{EMPTY}%install
mkdir -p %{{buildroot}}/usr/lib %{{buildroot}}/etc
printf 'NAME="Fedora Linux"\\nID=fedora\\nVERSION_ID=40\\n' >%{{buildroot}}/usr/lib/os-release
ln -s ../usr/lib/os-release %{{buildroot}}/etc/os-release
%files
/usr/lib/os-release
/etc/os-release
""",
    "hello": f"""{HEAD}{NOARCH}Requires: busybox fedora-release
Requires(post): /bin/sh
{EMPTY}%install
mkdir -p %{{buildroot}}/usr/bin %{{buildroot}}/etc
printf '#!/bin/sh\\necho hello from $(cat /etc/hello.conf)\\n' >%{{buildroot}}/usr/bin/hello
echo conf >%{{buildroot}}/etc/hello.conf
%post
echo "post $1" >/var/lib/hello.post
%files
%attr(755,root,root) /usr/bin/hello
%config(noreplace) /etc/hello.conf
""",
    "badpost": f"{HEAD}{NOARCH}Requires: busybox\n{EMPTY}%post\necho from post >&2\nexit 3\n%files\n",
    "badpre": f"{HEAD}{NOARCH}Requires: busybox\n{EMPTY}%pre\necho from pre >&2\nexit 4\n%files\n",
    "unmet": f"{HEAD}{NOARCH}Requires: libnothere.so.9\n{EMPTY}%files\n",
    "conflict": f"""{HEAD}{NOARCH}Requires: hello
{EMPTY}%install
mkdir -p %{{buildroot}}/etc
echo other >%{{buildroot}}/etc/hello.conf
%files
/etc/hello.conf
""",
}
_BUILD = """
_build_id_links none
debug_package %{nil}
__os_install_post %{nil}
_buildshell /bin/bash
_buildhost localhost
"""


@dataclass(frozen=True)
class Fedora:
    """A repository on disk, and the key, in ASCII, whose signatures its packages have."""

    folder: Path
    keyring: Path
    key: Key

    def copy(self, to: Path) -> "Fedora":
        """One of the test's own, to be changed."""
        shutil.copytree(self.folder, to)
        return Fedora(to, self.keyring, self.key)

    def index(self) -> None:
        """Write the list of contents, unsigned."""
        subprocess.run(["createrepo_c", "--quiet", str(self.folder)], check=True)

    def publish(self, name: str, version: str) -> None:
        """Another version of one of SPECS, unsigned; only for a copy."""
        with tempfile.TemporaryDirectory() as folder:
            for package in _built(Path(folder), {name: SPECS[name]}, version):
                shutil.move(package, self.folder)
        self.index()

    def bring(self, specs: Mapping[str, str]) -> None:
        """More packages, signed; only for a copy."""
        with tempfile.TemporaryDirectory() as folder:
            packages = _built(Path(folder), specs, "1.0")
            signed(self.key, packages)
            for package in packages:
                shutil.move(package, self.folder)
        self.index()
        self.sign()

    def sign(self) -> None:
        """Sign the list of contents, which zypper looks at."""
        self.key.detach(self.folder / "repodata/repomd.xml", "asc")


def fedora() -> Fedora:
    """The repository, built if the cache has none of this key."""
    home = CACHE / f"fedora-{_key()}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "fedora.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            making = CACHE / f"making-fedora-{os.getpid()}"
            _make(making)
            making.rename(home)
    return Fedora(home / "repo", home / "key.asc", Key(home / "gpg"))


def _key() -> str:
    digest = hashlib.sha256()
    for module in (__file__, deb.__file__):
        digest.update(Path(module).read_bytes())
    for path in ("/bin/busybox", "/usr/bin/rpmbuild"):
        digest.update(f"{path} {os.stat(path).st_size}\n".encode())
    return digest.hexdigest()[:16]


def vendor(folder: Path, name: str = "extra") -> Fedora:
    """A repository of one small package, for what `fedora` has, with a key of its own."""
    return _make(folder, {name: f"{HEAD}{NOARCH}Requires: busybox\n{EMPTY}%files\n"})


def _make(making: Path, specs: Mapping[str, str] = SPECS) -> Fedora:
    key = Key(making / "gpg")
    made = Fedora(making / "repo", making / "key.asc", key)
    made.keyring.write_bytes(key.export_text())
    made.folder.mkdir()
    packages = _built(making, specs, "1.0")
    signed(key, packages)
    for package in packages:
        shutil.move(package, made.folder)
    made.index()
    made.sign()
    return made


def signed(key: Key, packages: Sequence[str]) -> None:
    """Sign those files."""
    with key.agent() as environment:
        home = environment["GNUPGHOME"]
        sign = ["--define", "_gpg_name test", "--define", "__gpg /usr/bin/gpg", "--define", f"_gpg_path {home}"]
        subprocess.run(["rpmsign", *sign, "--addsign", *packages], check=True, capture_output=True, env=environment)


def _built(making: Path, specs: Mapping[str, str], version: str) -> list[str]:
    defines = [f"_topdir {making}/top", *_BUILD.strip().splitlines()]
    options = [word for define in defines for word in ("--define", define)]
    for name, spec in specs.items():
        path = making / f"{name}.spec"
        path.write_text(f"Name: {name}\n{spec}".replace("{version}", version))
        subprocess.run(["rpmbuild", "-bb", "--quiet", *options, str(path)], check=True, capture_output=True)
    return [str(path) for path in (making / "top/RPMS").rglob("*.rpm")]
