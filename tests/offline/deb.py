"""Debian packages and signed repositories of them, in memory: deb(5), deb822(5), the wiki's DebianRepository/Format."""

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

EPOCH = 1_700_000_000


@dataclass
class Package:
    """What a package holds: files by their path in the tree ("usr/bin/x"), with mode and content."""

    name: str
    version: str = "1"
    fields: dict[str, str] = field(default_factory=dict)  # Depends, Essential, Priority, …
    scripts: dict[str, str] = field(default_factory=dict)  # postinst, conffiles, …
    files: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    folders: dict[str, int] = field(default_factory=dict)

    def add(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        self.files[path] = (mode, content.encode() if isinstance(content, str) else content)

    def take(self, source: str | Path, path: str = "") -> None:
        """A file of this machine's, at the same path unless another is given."""
        place = path or _merged(str(source))
        self.add(place, Path(source).read_bytes(), Path(source).stat().st_mode & 0o7777)

    def take_folder(self, source: Path, leave_out: Iterable[str] = ()) -> None:
        """A folder of this machine's, but for what has a name of the given patterns; links as links."""
        skip = shutil.ignore_patterns(*leave_out)
        for folder, names, files in os.walk(source):
            names[:] = sorted(set(names) - skip(folder, names))
            for name in sorted(
                {*files, *(one for one in names if Path(folder, one).is_symlink())} - skip(folder, files)
            ):
                path = Path(folder, name)
                if path.is_symlink():
                    self.links[str(path).lstrip("/")] = os.readlink(path)
                else:
                    self.take(path, str(path).lstrip("/"))


def _merged(path: str) -> str:
    """Where a file is once /bin and its like are links into /usr."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name).lstrip("/")


def libraries(programs: Iterable[str]) -> dict[str, str]:
    """What the programs are linked with, the loader included: path in the tree -> path here."""
    said = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    found = {}
    for line in said.splitlines():
        words = line.replace("=>", " ").split()
        path = next((word for word in words if word.startswith("/") and not word.endswith(":")), "")
        if path and os.path.isfile(path):
            found[_merged(path)] = path
    return found


def archive(package: Package, architecture: str) -> bytes:
    """The .deb; always the same bytes for the same package."""
    members = {"control": (0o644, _stanza(_fields(package, architecture)).encode())}
    members |= {
        name: (0o644 if name == "conffiles" else 0o755, text.encode()) for name, text in package.scripts.items()
    }
    control = gzip.compress(_tar(members), 1, mtime=0)
    parts = [("debian-binary", b"2.0\n"), ("control.tar.gz", control), ("data.tar", contents(package))]
    return b"!<arch>\n" + b"".join(_ar_member(name, content) for name, content in parts)


def contents(package: Package) -> bytes:
    """What the package puts into a tree, as a tar archive."""
    return _tar(package.files, package.links, package.folders)


def _fields(package: Package, architecture: str) -> dict[str, str]:
    return {
        "Package": package.name, "Version": package.version, "Architecture": architecture,
        "Maintainer": "nobody <nobody@example.invalid>", "Priority": "optional", "Section": "misc",
        "Description": package.name, **package.fields,
    }  # fmt: skip


def _ar_member(name: str, content: bytes) -> bytes:
    header = f"{name:<16}{EPOCH:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)


def _tar(
    files: Mapping[str, tuple[int, bytes]],
    links: Mapping[str, str] | None = None,
    folders: Mapping[str, int] | None = None,
) -> bytes:
    links, modes = links or {}, dict(folders or {})
    for path in (*files, *links, *list(modes)):
        while path := os.path.dirname(path):
            modes.setdefault(path, 0o755)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, mode in sorted(modes.items()):
            tar.addfile(_member(path, tarfile.DIRTYPE, mode))
        for path, (mode, content) in sorted(files.items()):
            member = _member(path, tarfile.REGTYPE, mode)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for path, target in sorted(links.items()):
            member = _member(path, tarfile.SYMTYPE, 0o777)
            member.linkname = target
            tar.addfile(member)
    return buffer.getvalue()


def _member(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(f"./{path}")
    member.type, member.mode, member.mtime = kind, mode, EPOCH
    return member


def _stanza(fields: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def repository(
    folder: Path, packages: Iterable[Package], suite: str, architecture: str, key: "Key", fields: Mapping[str, str] = {}
) -> None:
    """Write a repository of one component, `main`, and sign it; of source packages what lies in its pool. fields: more
    of its Release.
    """
    index = _pool(folder, packages, architecture)
    found = list((folder / "pool").glob("*.dsc"))
    sources = subprocess.run(["dpkg-scansources", "pool"], cwd=folder, capture_output=True, check=True).stdout
    indices = {f"main/binary-{architecture}/Packages": index, **({"main/source/Sources": sources} if found else {})}
    _release(folder / "dists" / suite, indices, {
        "Suite": suite, "Codename": suite, "Architectures": architecture, "Components": "main", **fields,
    }, key)  # fmt: skip


def flat(folder: Path, packages: Iterable[Package], architecture: str, key: "Key") -> None:
    """Write a repository without suites and components, and sign it."""
    _release(folder, {"Packages": _pool(folder, packages, architecture)}, {}, key)


def _pool(folder: Path, packages: Iterable[Package], architecture: str) -> bytes:
    """Write the packages; their list."""
    listed = []
    (folder / "pool").mkdir(parents=True, exist_ok=True)
    for package in packages:
        data = archive(package, architecture)
        name = f"pool/{package.name}_{package.version}_{architecture}.deb"
        (folder / name).write_bytes(data)
        fields = _fields(package, architecture)
        fields |= {"Filename": name, "Size": str(len(data)), "SHA256": hashlib.sha256(data).hexdigest()}
        listed.append(_stanza(fields))
    return "\n".join(listed).encode()


def _release(folder: Path, indices: Mapping[str, bytes], fields: Mapping[str, str], key: "Key") -> None:
    sums = []
    for path, index in indices.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        for name, data in ((path, index), (f"{path}.gz", gzip.compress(index, mtime=0))):
            (folder / name).write_bytes(data)
            sums.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}\n")
    release = {"Origin": "test", "Label": "test", "Date": "Tue, 14 Nov 2023 22:13:20 UTC", **fields}
    (folder / "Release").write_text(_stanza(release) + "SHA256:\n" + "".join(sums))
    key.sign(folder)


class Key:
    """A throw-away key for signing, in a keyring of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (home / "made").exists():
            self._gpg("--quick-gen-key", "test <test@example.invalid>", "rsa2048", "sign", "never")
            (home / "made").touch()

    def export(self, path: Path) -> None:
        path.write_bytes(self._gpg("--export"))

    def export_text(self) -> bytes:
        return self._gpg("--armor", "--export")

    def fingerprint(self) -> str:
        lines = self._gpg("--with-colons", "--list-secret-keys").decode().splitlines()
        return next(line.split(":")[9] for line in lines if line.startswith("fpr:"))

    def vouch(self, keyring: Path, fingerprint: str) -> None:
        """Sign another's key, which `export` has from then on, too."""
        self._gpg("--import", str(keyring))
        self._gpg("--yes", "--quick-sign-key", fingerprint)

    @contextmanager
    def agent(self) -> Iterator[dict[str, str]]:
        """An environment in which gpg signs with this key, for a program that calls it."""
        try:
            yield {**os.environ, "GNUPGHOME": str(self._home)}
        finally:
            subprocess.run(["gpgconf", "--homedir", str(self._home), "--kill", "all"], check=True)

    def detach(self, path: Path, end: str = "sig") -> None:
        """A signature beside a file: FILE.sig, or in ASCII FILE.asc."""
        armor = "--armor" if end == "asc" else "--no-armor"
        self._gpg("--yes", armor, "--detach-sign", "-o", f"{path}.{end}", str(path))

    def clearsign(self, path: Path) -> None:
        """A file becomes one with a signature in it."""
        self._gpg("--yes", "--clearsign", "-o", f"{path}.signed", str(path))
        Path(f"{path}.signed").rename(path)

    def sign(self, dists: Path) -> None:
        """Release -> InRelease, Release.gpg"""
        self._gpg("--yes", "--clearsign", "-o", str(dists / "InRelease"), str(dists / "Release"))
        self._gpg("--yes", "--armor", "--detach-sign", "-o", str(dists / "Release.gpg"), str(dists / "Release"))

    def _gpg(self, *words: str) -> bytes:
        argv = [
            "gpg",
            "--homedir",
            str(self._home),
            "--batch",
            "--quiet",
            "--passphrase",
            "",
            "--pinentry-mode",
            "loopback",
        ]
        try:
            return subprocess.run([*argv, *words], capture_output=True, check=True).stdout
        finally:
            subprocess.run(["gpgconf", "--homedir", str(self._home), "--kill", "all"], check=True)
