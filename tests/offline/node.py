"""A Node package, and a registry that serves it: docs of npm/registry, "package metadata"."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any


def tarball(name: str, version: str, code: str) -> bytes:
    """What `npm pack` makes of one module with a program in it."""
    package = {"name": name, "version": version, "main": "index.js", "bin": {name: "index.js"}}
    files = {"package.json": json.dumps(package), "index.js": f"#!/usr/bin/env node\n{code}"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in files.items():
            member = tarfile.TarInfo(f"package/{path}")
            member.size, member.mode = len(text), 0o755
            tar.addfile(member, io.BytesIO(text.encode()))
    return gzip.compress(buffer.getvalue(), mtime=0)


def integrity(data: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def lock(folder: Path, name: str, data: bytes) -> None:
    """A package.json that needs the package, its lock, and the archive in the folder itself."""
    folder.mkdir()
    dependencies = {name: f"file:{name}.tgz"}
    own: dict[str, Any] = {"name": "app", "version": "1.0.0", "dependencies": dependencies}
    entry = {"version": "1.0.0", "resolved": f"file:{name}.tgz", "integrity": integrity(data)}
    document = {"name": "app", "version": "1.0.0", "lockfileVersion": 3, "requires": True}
    (folder / "package.json").write_text(json.dumps(own))
    packages = {"packages": {"": own, f"node_modules/{name}": entry}}
    (folder / "package-lock.json").write_text(json.dumps(document | packages))
    (folder / f"{name}.tgz").write_bytes(data)


def registry(folder: Path, url: str, name: str, version: str, data: bytes) -> None:
    """Files that any web server serves as a registry."""
    (folder / f"{name}-{version}.tgz").write_bytes(data)
    dist = {"tarball": f"{url}/{name}-{version}.tgz", "integrity": integrity(data)}
    package = {"name": name, "version": version, "bin": {name: "index.js"}, "dist": dist}
    document = {"name": name, "dist-tags": {"latest": version}, "versions": {version: package}}
    (folder / name).write_text(json.dumps(document))
