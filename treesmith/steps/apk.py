"""apk: Alpine, or one of its family, into an empty root; later, packages into it. By the host's apk.

A step that names a mirror adds it to those that the steps below it named; all after it install from them all. apk knows
one set of keys: what one source's key has signed is good from any. Unsigned it takes all or nothing, so `trust` is of
all sources or of none.
"""

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from treesmith import inventory
from treesmith.archive.layer import Layer, Meta
from treesmith.errors import Error
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.inputs import Inputs, Setting, digest_of, host_path, key_of
from treesmith.steps.programs import driver
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Option, Schema, Value
from treesmith.steps.source import check, digest, is_named, is_pinned, kept, local_path, url
from treesmith.steps.step import Step

schema = Schema(
    kind="apk",
    help="packages of Alpine's family, into an empty root or a tree",
    main="packages",
    network=True,
    drivers=("apk",),
    bootstraps="also",
    options={
        "packages": Option("strings", "names, or name=version", required=True),
        "mirror": Option("source", "where from, besides what the tree has; or the index of a repository itself"),
        "repositories": Option("strings", "parts of the mirror; none of an index", ("main",)),
        "keyring": Option("source", "whose signatures are good: a public key, or a folder of them, NAME.pub each"),
        "trust": Option("bool", "take all packages unsigned, or signed by anybody", False),
    },
)

_CACHE = "/var/cache/treesmith"  # in the tools' root
_KEYS, _REPOSITORIES = f"{PASSING}/keys", f"{PASSING}/repositories"
_KEPT = "etc/apk/keys"
_INDEXES = (".adb", ".tar.gz")
_RUBBISH = ("var/log/apk.log", "var/cache/apk")
# The kernel's word -> Alpine's, where that is another one.
_ARCHITECTURES = {"i386": "x86", "i686": "x86", "armv7l": "armv7", "armv6l": "armhf"}


class Source(NamedTuple):
    mirror: str  # a URL
    repositories: tuple[str, ...]
    keys: Mapping[str, bytes]  # by file name; nothing: trusted

    @property
    def lines(self) -> list[str]:
        """Of apk-repositories(5)."""
        whole = self.mirror.endswith(_INDEXES)
        return [self.mirror] if whole else [f"{self.mirror.rstrip('/')}/{name}" for name in self.repositories]

    def record(self) -> dict[str, Any]:
        keys = {name: digest(key) for name, key in self.keys.items()}
        return {"mirror": self.mirror, "repositories": list(self.repositories), "keys": keys}


def inputs(step: Step, setting: Setting) -> Inputs:
    for name in (*step.texts("packages"), *step.texts("repositories"), *step.texts("mirror")):
        if not name or name[0] in "-!@#" or not name.isprintable() or " " in name:
            raise step.error(f"{name!r} is no name", "packages")
    for name in step.texts("packages"):
        if "/" in name or name.endswith(".apk"):
            raise step.error(f"{name!r} is a file, not a package of a mirror", "packages")
    if not step.texts("packages") and not is_named(setting):
        raise step.error("apk fills no root without packages", "packages")
    check(step, "keyring", "trust")
    facts: dict[str, Value] = {"driver": " ".join(driver(step, schema))}
    if step.text("mirror"):
        own = _own(step)
        facts["mirror.used"] = own.mirror
        if own.keys:
            facts["keyring.used"] = tuple(f"{name} {digest(key)}" for name, key in own.keys.items())
        if local_path(own.mirror):
            facts["mirror.lists"] = tuple(_list(step, local_path(line), setting.arch) for line in own.lines)
    return Inputs(facts, is_pinned(facts, setting))


def run(step: Step, room: Room) -> dict[str, Any]:
    name, version = driver(step, schema)
    sources = _sources(step, room)
    lines = [line for source in sources for line in source.lines]
    keys = {name: key for source in sources for name, key in source.keys.items()}
    cache = room.cache(f"apk-{key_of('', {**dict.fromkeys(lines, ''), **_digests(keys)})[:16]}")
    paths = (local_path(line) for line in lines)
    folders = {os.path.dirname(path) if path.endswith(_INDEXES) else path for path in paths if path}
    binds = [Bind(cache, _CACHE), *(Bind(folder, folder, read_only=True) for folder in sorted(folders))]
    files = [(_REPOSITORIES, "".join(f"{line}\n" for line in lines).encode())]
    files += [(f"{_KEYS}/{name}", key) for name, key in keys.items()]
    room.say(f"{name} {version}: {' '.join(step.texts('packages'))} from {lines[-1]}")
    with room.root() as root:
        before = inventory.alpine(root)
    if step.texts("packages"):
        argv = command(name, room.arch, step.texts("packages"), new=not before, trust=not keys)
        room.outside(argv, binds=binds, files=files, what="apk add")
    with room.root() as root:
        packages = inventory.added(before, inventory.alpine(root))
        _tidy(root, lines, keys)
    return {"driver": f"{name} {version}", "sources": [each.record() for each in sources], "packages": packages}


def command(name: str, arch: str, packages: Sequence[str], *, new: bool, trust: bool) -> list[str]:
    """apk(8). What is of the tree's own there counts no more: keys, repositories, a cache."""
    argv = [name, "--root=/target", f"--arch={_ARCHITECTURES.get(arch, arch)}", f"--keys-dir={_KEYS}"]
    argv += [f"--repositories-file={_REPOSITORIES}", f"--cache-dir={_CACHE}", "--no-interactive", "--no-progress"]
    argv += ["--update-cache", *(["--allow-untrusted"] if trust else []), "add", *(["--initdb"] if new else [])]
    return [*argv, *packages]


def _own(step: Step) -> Source:
    mirror = url(step)
    whole = mirror.endswith(_INDEXES)
    return Source(mirror, () if whole else step.texts("repositories"), {} if step.is_on("trust") else _keys(step))


def _keys(step: Step) -> dict[str, bytes]:
    """The public keys, by file name, by which packages name them. Error: there is none."""
    given = step.text("keyring")
    if not given:
        raise step.error("apk needs a keyring", "mirror", hint="keyring = FILE, or trust = true")
    path = given if given.startswith("/") else host_path(step, "keyring")
    if os.path.isdir(path):
        paths = [os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith(".pub")]
    else:
        paths = [path]
    found = {}
    for each in paths:
        try:
            with open(each, "rb") as file:
                found[os.path.basename(each)] = file.read()
        except OSError as error:
            raise step.error(f"no keyring {each}", "keyring", str(error.strerror)) from None
    if not found or not all(found.values()):
        raise step.error(f"no key is in {path}", "keyring")
    return found


def _digests(keys: Mapping[str, bytes]) -> dict[str, str]:
    return {f"key {name}": digest(key) for name, key in keys.items()}


def _list(step: Step, path: str, arch: str) -> str:
    """The digest of a repository's list of contents."""
    index = path if path.endswith(_INDEXES) else f"{path}/{_ARCHITECTURES.get(arch, arch)}/APKINDEX.tar.gz"
    if not os.path.isfile(index):
        raise step.error(
            f"no packages in {path}", "mirror", f"there is no {index}", "apk index, or apk mkndx, makes one"
        )
    return digest_of(index)


def _sources(step: Step, room: Room) -> list[Source]:
    """Those of the steps below, then the step's own. Error: there is none; a key in the tree is not what it was; not
    all are trusted, and one is."""
    ours = (made for made in reversed(room.made) if str(made.get("driver", "")).startswith("apk"))
    below: Mapping[str, Any] = next(ours, {})
    found = []
    for entry in below.get("sources", ()):
        keys = {name: kept(room, f"{_KEPT}/{name}", wanted) for name, wanted in entry["keys"].items()}
        found.append(Source(entry["mirror"], tuple(entry["repositories"]), keys))
    if step.text("mirror") and (own := _own(step)) not in found:
        found.append(own)
    if not found:
        raise Error("apk has no source", "no step below named one", "mirror and keyring name it")
    if len({bool(source.keys) for source in found}) > 1:
        raise Error(
            "apk checks the signatures of all its sources or of none", hint="a keyring for each, or trust for each"
        )
    names = [(name, key) for source in found for name, key in source.keys.items()]
    if len(dict(names)) < len(set(names)):
        raise Error(
            "two keys are called alike", hint="their names are in what they have signed; they cannot be both good"
        )
    return found


def _tidy(root: int, lines: Sequence[str], keys: Mapping[str, bytes]) -> None:
    with Layer(root) as layer:
        for path, mode in (("dev", 0o755), ("proc", 0o555), ("sys", 0o555)):
            layer.folder(path, Meta(mode))
        for path in _RUBBISH:
            layer.remove(path)
        layer.text("etc/apk/repositories", "".join(f"{line}\n" for line in lines))
        for name, key in keys.items():
            layer.file(f"{_KEPT}/{name}", io.BytesIO(key), Meta(0o644))
