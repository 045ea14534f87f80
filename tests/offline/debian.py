"""A Debian of a few tiny packages that debootstrap and mmdebstrap take for one, and that apt, pip and useradd run in.

The programs are this machine's; busybox stands in for the rest. Names, priorities and dependencies are what the two
bootstrapping programs look for. Built once and kept in /var/tmp, under a key of everything it is made of.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from offline import deb
from offline.deb import Key, Package, libraries, repository

SUITE = "bookworm"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
CACHE = Path(os.environ.get("TREESMITH_TEST_CACHE", "/var/tmp/treesmith-tests"))

DPKG = [
    "/usr/bin/dpkg", "/usr/bin/dpkg-deb", "/usr/bin/dpkg-split", "/usr/bin/dpkg-query", "/usr/bin/dpkg-trigger",
    "/usr/bin/dpkg-divert", "/usr/bin/dpkg-statoverride", "/usr/bin/update-alternatives", "/usr/sbin/start-stop-daemon",
    "/bin/tar", "/usr/bin/env", "/bin/dash",
]  # fmt: skip
APT = ["/usr/bin/apt-get", "/usr/bin/apt-config", "/usr/bin/apt-key", "/usr/bin/gpgv"]
METHODS = [f"/usr/lib/apt/methods/{name}" for name in ("copy", "file", "gpgv", "http", "store")]
USERS = ["/usr/sbin/useradd", "/usr/sbin/groupadd"]
APPLETS = """
[ base64 basename cat chmod chown cmp comm cp cut date dd diff dirname echo expr false find grep head id ln ls mawk
mkdir mktemp mv printf ps pwd readlink rm rmdir sed sleep sort stat tail test touch tr true uname wc yes
"""
PLAIN = """
boot dev etc home mnt opt proc root run sys usr/bin usr/lib usr/lib64 usr/sbin usr/share var/cache var/lib var/log
"""
OS_RELEASE = """\
PRETTY_NAME="Debian of the tests"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION_CODENAME=bookworm
ID=debian
"""
APT_FOLDERS = """
etc/apt/apt.conf.d etc/apt/preferences.d etc/apt/sources.list.d etc/apt/trusted.gpg.d usr/lib/apt/solvers
var/cache/apt/archives/partial var/lib/apt/lists/partial var/lib/apt/periodic var/log/apt
"""


@dataclass(frozen=True)
class Debian:
    """A repository on disk, and the key that signs it."""

    folder: Path
    keyring: Path
    key: Key

    @property
    def sets(self) -> list[str]:
        """The --set options that make `debian-base` of it."""
        return [f"--set=mirror=file://{self.folder}", f"--set=keyring={self.keyring}"]

    def copy(self, to: Path) -> "Debian":
        """One of the test's own, to be changed."""
        shutil.copytree(self.folder, to)
        return Debian(to, self.keyring, self.key)

    def publish(self, *changed: Package, fields: Mapping[str, str] = {}) -> None:
        """Add packages, or newer versions of them; only for a copy. fields: more of its Release."""
        new = {package.name for package in changed}
        kept = [package for package in packages() if package.name not in new]
        repository(self.folder, [*kept, *changed], SUITE, ARCHITECTURE, self.key, fields)


def debian() -> Debian:
    """The repository, built if the cache has none of this key."""
    home = CACHE / f"debian-{_key()}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            making = CACHE / f"making-{os.getpid()}"
            key = Key(making / "gpg")
            key.export(making / "key.gpg")
            repository(making / "repo", packages(), SUITE, ARCHITECTURE, key)
            making.rename(home)
    return Debian(home / "repo", home / "key.gpg", Key(home / "gpg"))


def _key() -> str:
    """Of our own text, and of the programs by size and time."""
    digest = hashlib.sha256()
    for module in (__file__, deb.__file__):
        digest.update(Path(module).read_bytes())
    for path in (*DPKG, *APT, *METHODS, *USERS, "/bin/busybox", "/usr/bin/python3", "/etc/os-release"):
        status = os.stat(path)
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def packages() -> Iterator[Package]:
    base = libraries([*DPKG, *APT, *METHODS, *USERS])
    yield _libc6(base)
    yield _dpkg()
    yield _busybox()
    yield _base_files()
    yield _base_passwd()
    yield Package("perl-base", fields={"Priority": "required"})
    # debootstrap makes it by itself.
    awk = "#!/bin/sh\n[ -e /usr/bin/awk ] || ln -s mawk /usr/bin/awk\n"
    yield Package("mawk", fields={"Priority": "required"}, scripts={"postinst": awk})
    yield Package("usr-is-merged", "37", {"Priority": "required", "Source": "usrmerge"})
    yield _apt()
    yield _passwd()
    certificates = Package("ca-certificates", fields={"Depends": "busybox"})
    certificates.add("etc/ssl/certs/ca-certificates.crt", "none\n")
    yield certificates
    yield hello("1.0")
    yield Package("badpost", scripts={"postinst": "#!/bin/sh\necho oops >&2\nexit 3\n"}, fields={"Depends": "busybox"})
    yield Package("unmet", fields={"Depends": "nothere"})
    yield Package("fond", fields={"Recommends": "hello"})
    yield _daemon()
    yield _python(base)
    yield _pip()


def hello(version: str) -> Package:
    """A program, its configuration and a script."""
    package = Package("hello", version, {"Depends": "busybox"})
    package.add("usr/bin/hello", "#!/bin/sh\necho hello from $(cat /etc/hello.conf)\n", 0o755)
    package.add("etc/hello.conf", f"conf of {version}\n")
    package.scripts = {"conffiles": "/etc/hello.conf\n", "postinst": '#!/bin/sh\necho "post $1" >/var/lib/hello.post\n'}
    return package


def _libc6(base: dict[str, str]) -> Package:
    package = Package("libc6", "2.36", {"Priority": "required"})
    for place, path in base.items():
        package.take(path, place)
    package.take("/sbin/ldconfig", "usr/sbin/ldconfig")
    return package


def _dpkg() -> Package:
    package = Package("dpkg", "1.21.22", {"Priority": "required", "Essential": "yes", "Pre-Depends": "libc6"})
    for path in DPKG:
        package.take(path)
    for path in Path("/usr/share/dpkg").glob("*table"):
        package.take(path)
    package.links["usr/bin/sh"] = "dash"
    for path in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/alternatives", "var/lib/dpkg/triggers"):
        package.folders[path] = 0o755
    package.folders |= {"etc/dpkg/dpkg.cfg.d": 0o755, "etc/alternatives": 0o755}
    return package


def _busybox() -> Package:
    package = Package("busybox", "1.35", {"Priority": "required", "Essential": "yes"})
    package.take("/bin/busybox", "usr/bin/busybox")
    package.links |= {f"usr/bin/{applet}": "busybox" for applet in APPLETS.split()}
    return package


def _base_files() -> Package:
    package = Package("base-files", "12", {"Priority": "required", "Essential": "yes"})
    package.folders = {**dict.fromkeys(PLAIN.split(), 0o755), "tmp": 0o1777, "var/tmp": 0o1777}
    package.links = {name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")}
    package.add("usr/lib/os-release", OS_RELEASE)
    package.links["etc/os-release"] = "../usr/lib/os-release"
    package.add("etc/debian_version", "12.0\n")
    return package


def _base_passwd() -> Package:
    package = Package("base-passwd", "3.6", {"Priority": "required", "Essential": "yes"})
    users = ["root:x:0:0:root:/root:/bin/sh", "daemon:x:1:1::/:/bin/false", "_apt:x:42:65534::/nonexistent:/bin/false"]
    groups = ["root:x:0:", "daemon:x:1:", "tty:x:5:", "mail:x:8:", "shadow:x:42:", "utmp:x:43:", "nogroup:x:65534:"]
    package.add("etc/passwd", "\n".join([*users, "nobody:x:65534:65534::/nonexistent:/bin/false", ""]))
    package.add("etc/group", "\n".join([*groups, ""]))
    return package


def _apt() -> Package:
    package = Package("apt", "2.6", {"Priority": "important", "Depends": "libc6, busybox"})
    for path in (*APT, *METHODS):
        package.take(path)
    package.folders |= dict.fromkeys(APT_FOLDERS.split(), 0o755)
    return package


def _passwd() -> Package:
    package = Package("passwd", "4.13", {"Priority": "required"})
    for path in USERS:
        package.take(path)
    package.add("etc/login.defs", "UID_MIN 1000\nUID_MAX 60000\nSYS_UID_MAX 999\nUSERGROUPS_ENAB yes\n")
    return package


def _daemon() -> Package:
    """A package that wants its service started, as debhelper's do."""
    package = Package("daemon", fields={"Depends": "busybox"})
    script = "#!/bin/sh\n/usr/sbin/policy-rc.d daemon start; echo $? >/var/lib/daemon.policy\n"
    package.scripts["postinst"] = script
    return package


def _python(base: dict[str, str]) -> Package:
    """This machine's python3, with what venv and pip need."""
    package = Package("python3-venv", "3.11", {"Depends": "libc6"})
    version = os.readlink("/usr/bin/python3")
    program, library = Path(f"/usr/bin/{version}"), Path(f"/usr/lib/{version}")
    modules = [str(path) for path in (library / "lib-dynload").glob("*.so")]
    for place, path in libraries([str(program), *modules]).items():
        if place not in base:
            package.take(path, place)
    package.take(program)
    package.links["usr/bin/python3"] = version
    package.take_folder(library, ["test", "idlelib", "lib2to3", "pydoc_data", "__pycache__", "config-*"])
    package.take_folder(Path("/usr/share/python-wheels"))
    return package


def _pip() -> Package:
    """pip for everybody, out of the wheel that venv has for itself."""
    package = Package("python3-pip", fields={"Depends": "python3-venv"})
    with zipfile.ZipFile(next(Path("/usr/share/python-wheels").glob("pip-*.whl"))) as wheel:
        for name in wheel.namelist():
            package.add(f"usr/lib/python3/dist-packages/{name}", wheel.read(name))
    return package
