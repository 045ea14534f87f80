"""dnf: Fedora, or one of its family, into an empty root; later, packages into it. By the host's dnf, outside the tree.

dnf 4 and 5 ask for the same. Packages' signatures are checked against the keyring, except of a source that the recipe
trusts. The step that fills the root names the source; those after it install from the same.

A package whose %post fails is installed all the same, and both end with 0: what they print then is a failure here.
"""

import hashlib
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from treesmith import inventory
from treesmith.archive.layer import Layer, Meta
from treesmith.archive.read import read
from treesmith.errors import Error
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.inputs import Inputs, Setting, digest_of
from treesmith.steps.network import outfit
from treesmith.steps.programs import driver
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Option, Schema, Value
from treesmith.steps.source import kept_keys, keyring, keys, local_path, url
from treesmith.steps.step import Step

schema = Schema(
    kind="dnf",
    help="packages of Fedora's family, into an empty root or a tree",
    main="packages",
    network=True,
    drivers=("dnf5", "dnf"),
    bootstraps="also",
    options={
        "packages": Option("strings", "names, or name-version, or @group", required=True),
        "release": Option("string", "into an empty root: the release, as 40"),
        "mirror": Option("source", "into an empty root: where from; a URL may hold $releasever and $basearch"),
        "keyring": Option("source", "into an empty root: whose signatures are good, a file of keys in ASCII"),
        "trust": Option("bool", "take the packages unsigned, or signed by anybody", False),
        "recommends": Option("bool", "also what they recommend", False),
    },
)

_CACHE = "/var/cache/treesmith"  # in the tools' root
_CONFIGURATION = f"{PASSING}/dnf.conf"
_KEY = f"{PASSING}/key.asc"
_KEPT_KEY = "etc/pki/rpm-gpg/RPM-GPG-KEY-treesmith"
_SOURCE = "etc/yum.repos.d/treesmith.repo"
# Debian's rpm would keep its database in root's home; and no rpm can chown what is mounted.
_MACROS = (f"{PASSING}/home/.rpmmacros", b"%_dbpath /usr/lib/sysimage/rpm\n%_netsharedpath /dev:/proc:/sys\n")
_QUERY = "%{NAME}.%{ARCH} %{EVR}\\n"
_ALARMS = ("scriptlet failed, ", "Error in ")
_DATABASE = "usr/lib/sysimage/rpm"


class _Source(NamedTuple):
    mirror: str  # a URL
    release: str
    key: bytes  # b"": trusted


def inputs(step: Step, setting: Setting) -> Inputs:
    for package in step.texts("packages"):
        if package.startswith("-") or not package.isprintable() or " " in package or not package:
            raise step.error(f"{package!r} is no package's name", "packages")
    facts: dict[str, Value] = {"driver": " ".join(driver(step, schema))}
    if not step.text("mirror"):
        return Inputs(facts, any("repodata.used" in below.facts for below in setting.below))
    if not step.text("release"):
        raise step.error("dnf needs the release with its mirror", "mirror", hint='release = "40"')
    facts["mirror.used"] = mirror = url(step)
    if not step.is_on("trust"):
        facts["keyring.used"] = digest_of(keyring(step))
    local = local_path(mirror)
    if local:
        path = os.path.join(local, "repodata/repomd.xml")
        if not os.path.isfile(path):
            raise step.error(f"no packages in {local}", "mirror", f"there is no {path}", "createrepo_c makes one")
        facts["repodata.used"] = digest_of(path)
    return Inputs(facts, pinned=bool(local))


def run(step: Step, room: Room) -> dict[str, Any]:
    name, version = driver(step, schema)
    source = _source(step, room)
    local = local_path(source.mirror)
    trusted = hashlib.sha256(b"\0".join((source.mirror.encode(), source.key))).hexdigest()[:16]
    cache = room.cache(f"dnf-{trusted}")
    binds = [Bind(cache, _CACHE), *([Bind(local, local, read_only=True)] if local else [])]
    files = [(_CONFIGURATION, _configuration(step, room, source).encode()), (_KEY, source.key or b"\n"), _MACROS]
    env = {"HOME": f"{PASSING}/home"}
    room.say(f"{name} {version}: {' '.join(step.texts('packages'))} from {source.mirror}")
    before = _installed(room, cache, binds, env, files)
    argv = [name, "-y", f"--config={_CONFIGURATION}", "--installroot=/target", f"--releasever={source.release}"]
    # In the configuration it would be a path in the tree.
    argv.append(f"--setopt=cachedir={_CACHE}/dnf")
    argv += ["install", *step.texts("packages")]
    room.outside(argv, binds=binds, files=files, env=env, what=f"{name} install", alarms=_ALARMS)
    after = _installed(room, cache, binds, env, files)
    with room.root() as root:
        _tidy(root, source)
    made = {"driver": f"{name} {version}", "mirror": source.mirror, "release": source.release}
    return {**made, "packages": inventory.added(before, after)}


def _source(step: Step, room: Room) -> _Source:
    if step.text("mirror"):
        return _Source(url(step), step.text("release"), keys(step))
    ours = (made for made in reversed(room.made) if str(made.get("driver", "")).startswith("dnf"))
    below: Mapping[str, Any] | None = next(ours, None)
    if below is None:
        raise Error("dnf has no source", "no step below named one", "mirror, release and keyring name it")
    return _Source(str(below["mirror"]), str(below["release"]), kept_keys(step, room, _KEPT_KEY))


def _configuration(step: Step, room: Room, source: _Source) -> str:
    """dnf.conf(5). Debian's dnf would go on without a source that it cannot reach."""
    bundle = outfit(room.caller).bundle if step.network else ""
    proxies = {name.lower(): value for name, value in room.caller.items() if name.lower().endswith("s_proxy")}
    lines = [
        "[main]", "reposdir=/nonexistent", "plugins=0", "best=1", "skip_if_unavailable=0", "keepcache=1",
        "metadata_expire=0", "retries=3",
        f"install_weak_deps={int(step.is_on('recommends'))}", "tsflags=", f"gpgcheck={int(bool(source.key))}",
        *([f"sslcacert={bundle}"] if bundle else []),
        *([f"proxy={proxies['https_proxy']}"] if proxies.get("https_proxy") and step.network else []),
        "[treesmith]", "name=treesmith", f"baseurl={source.mirror}", "enabled=1", f"gpgkey=file://{_KEY}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _installed(
    room: Room, cache: str, binds: list[Bind], env: Mapping[str, str], files: list[tuple[str, bytes]]
) -> dict[str, str]:
    """NAME.ARCH -> version of every package in the tree's database; none where it has none."""
    with room.root() as root:
        if not read(root, f"{_DATABASE}/rpmdb.sqlite"):
            return {}
    listed = os.path.join(cache, "installed")
    query = f"rpm --root /target --dbpath /{_DATABASE} -qa --qf '{_QUERY}' >{_CACHE}/installed"
    room.outside(["/bin/sh", "-e", "-c", query], env=env, binds=binds, files=files, what="rpm -qa")
    with open(listed, encoding="utf-8", errors="replace") as file:
        packages = dict(line.split(" ", 1) for line in file.read().splitlines() if " " in line)
    os.unlink(listed)
    return {name: version for name, version in sorted(packages.items()) if not name.startswith("gpg-pubkey.")}


def _tidy(root: int, source: _Source) -> None:
    with Layer(root) as layer:
        for path, mode in (("dev", 0o755), ("proc", 0o555), ("sys", 0o555)):
            layer.folder(path, Meta(mode))
        for path in ("var/lib/dnf", "var/cache/dnf", "var/cache/libdnf5", "var/log/hawkey.log", _CACHE):
            layer.remove(path)
        for name in ("dnf.log", "dnf.librepo.log", "dnf.rpm.log", "dnf5.log"):
            layer.remove(f"var/log/{name}")
        for end in ("-shm", "-wal"):
            layer.remove(f"{_DATABASE}/rpmdb.sqlite{end}")
        text = ["[treesmith]", "name=treesmith", f"baseurl={source.mirror}", f"gpgcheck={int(bool(source.key))}"]
        if source.key:
            layer.text(_KEPT_KEY, source.key.decode(errors="surrogateescape"))
            text.append(f"gpgkey=file:///{_KEPT_KEY}")
        layer.text(_SOURCE, "\n".join(text) + "\n")
