"""pacman: Arch, or one of its family, into an empty root; later, packages into it. By the host's pacman.

It is what pacstrap calls, without pacstrap's mounts. Packages' signatures are checked against the keyring, except of a
source that the recipe trusts. A keyring is what pacman-key(8) has: beside NAME.gpg there may be NAME-trusted, whose
owners' word makes others' keys good (without it all are), and NAME-revoked, whose keys are good no more. A step that
names a mirror adds it to those that the steps below it named; all after it install from them all, and bring what is
there up to date: Arch knows no other way.

An install script that fails is a line of output, and pacman ends with 0: here it is a failure.
"""

import io
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from treesmith import inventory
from treesmith.archive.layer import Layer, Meta
from treesmith.archive.read import read
from treesmith.errors import Error
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.archives import LOCKED, shelf, taken, unlocked
from treesmith.steps.inputs import Inputs, Setting, digest_of, host_path
from treesmith.steps.programs import driver
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Option, Schema, Value
from treesmith.steps.source import check, digest, is_named, is_pinned, kept, keyring, keys, local_path, name_of, url
from treesmith.steps.step import Step

schema = Schema(
    kind="pacman",
    help="packages of Arch's family, into an empty root or a tree",
    main="packages",
    network=True,
    drivers=("pacman",),
    bootstraps="also",
    options={
        "packages": Option("strings", "names, or groups", required=True),
        "mirror": Option("source", "where from, besides what the tree has; it may hold $repo and $arch"),
        "repositories": Option("strings", "parts of the mirror", ("core", "extra")),
        "keyring": Option("source", "whose signatures are good, a file of gpg"),
        "trust": Option("bool", "take the mirror's packages unsigned, or signed by anybody", False),
    },
)

_CACHE = "/var/cache/treesmith"  # in the tools' root
_CONFIGURATION = f"{PASSING}/pacman.conf"
_INSTALLED = re.compile(rb"%INSTALLDATE%\n\d+")
_KEPT = "etc/pacman.d"
# The lists of a keyring, and their lines: how far somebody is trusted is gpg's --export-ownertrust.
_LISTS = {"-trusted": re.compile(r"[0-9A-F]{40,64}:[2-6]:"), "-revoked": re.compile(r"[0-9A-F]{40,64}")}
_ALARM = "command failed to execute correctly"
# pacman takes keys from a gpg home, and from it only those that are valid: signed by one's own, or by whom that trusts.
# It knows one set of keys: what one source's key has signed is good from any.
_TRUST = f"""
umask 077; mkdir -p {_CACHE}/step/gpg; cd {_CACHE}/step/gpg
gpg() {{ command gpg --homedir . --batch --yes --no-auto-check-trustdb "$@" </dev/null; }}
gpg --passphrase '' --quick-gen-key treesmith ed25519 sign never
for keyring; do
    gpg --import "$keyring.gpg"
    if [ -e "$keyring-trusted" ]; then
        while IFS=: read -r key level; do gpg --quick-lsign-key "$key"; done <"$keyring-trusted"
        gpg --import-ownertrust "$keyring-trusted"
    else
        gpg --with-colons --show-keys "$keyring.gpg" | awk -F: '$1 == "fpr" {{ print $10 ":6:" }}' >trusted
        gpg --import-ownertrust trusted
    fi
done
gpg --with-colons --list-keys >all
for keyring; do
    if [ -e "$keyring-revoked" ]; then
        while read -r key; do
            if grep -q "^fpr:.*:$key:" all; then gpg --delete-keys "$key"; fi
        done <"$keyring-revoked"
    fi
done
gpg --check-trustdb
"""


class _Source(NamedTuple):
    name: str  # of its files in the tree
    mirror: str  # a URL
    repositories: tuple[str, ...]
    keys: Mapping[str, bytes]  # ".gpg", and of _LISTS what is there; nothing: trusted

    def record(self) -> dict[str, Any]:
        keys = {part: digest(key) for part, key in self.keys.items()}
        return {"mirror": self.mirror, "repositories": list(self.repositories), "keys": keys}


def inputs(step: Step, setting: Setting) -> Inputs:
    for name in (*step.texts("packages"), *step.texts("repositories")):
        if name.startswith("-") or not name.isprintable() or any(mark in name for mark in " []") or not name:
            raise step.error(f"{name!r} is no name", "packages")
    facts: dict[str, Value] = {"driver": " ".join(driver(step, schema))}
    if not step.texts("packages") and not is_named(setting):
        raise step.error("pacman fills no root without packages", "packages")
    check(step, "keyring", "trust")
    if step.text("mirror"):
        facts["mirror.used"] = mirror = url(step)
        if keys := _keys(step):
            facts["keyring.used"] = tuple(f"{part} {digest(key)}" for part, key in keys.items())
        if (local := local_path(mirror)) and not step.lock:
            facts["mirror.lists"] = tuple(_list(step, local, name, setting.arch) for name in step.texts("repositories"))
    return Inputs(facts, is_pinned(facts, setting))


def loose(step: Step) -> str:
    return unlocked(step)


def run(step: Step, room: Room) -> dict[str, Any]:
    name, version = driver(step, schema)
    sources = _sources(step, room)
    folders = set() if step.lock else _folders(sources)
    cache = room.cache(f"pacman-{digest(json.dumps([source.record() for source in sources]).encode())[:16]}")
    shutil.rmtree(os.path.join(cache, "step"), ignore_errors=True)
    os.makedirs(os.path.join(cache, "packages"), exist_ok=True)
    binds = [Bind(cache, _CACHE), *(Bind(folder, folder, read_only=True) for folder in sorted(folders))]
    files = [(_CONFIGURATION, _configuration(room, sources).encode())]
    keyrings = {f"{PASSING}/{source.name}": source.keys for source in sources if source.keys}
    files += [(f"{keyring}{part}", key) for keyring, keys in keyrings.items() for part, key in keys.items()]
    room.say(f"{name} {version}: {' '.join(step.texts('packages'))} from {sources[-1].mirror}")
    if keyrings:
        room.outside(["/bin/sh", "-e", "-c", _TRUST, "sh", *keyrings], binds=binds, files=files, what="gpg")
    with room.root() as root:
        before = inventory.arch(root)
        with Layer(root) as layer:
            layer.folder("var/lib/pacman", Meta(0o755))
    argv = [name, "--noconfirm", "--noprogressbar", f"--config={_CONFIGURATION}", "--root=/target"]
    argv += ["--dbpath=/target/var/lib/pacman", f"--cachedir={_CACHE}/packages", f"--gpgdir={_CACHE}/step/gpg"]
    argv += ["--hookdir=/target/etc/pacman.d/hooks", "--logfile=/dev/null"]

    def pacman(do: str, what: Sequence[str], more: Sequence[Bind] = ()) -> None:
        if what:
            room.outside([*argv, do, *what], binds=[*binds, *more], files=files, what=f"pacman {do}", alarms=(_ALARM,))

    if step.lock:
        with shelf(step, room) as shelves:
            pacman("-U", sorted(f"{LOCKED}/{file}" for file in os.listdir(shelves.archives)), [shelves.bind])
    else:
        pacman("-Syu", step.texts("packages"))
    shutil.rmtree(os.path.join(cache, "step"), ignore_errors=True)
    with room.root() as root:
        packages = inventory.added(before, inventory.arch(root))
        archives = step.archives if step.lock else inventory.arch_archives(root, _mirrors(sources, room.arch), packages)
        _tidy(root, sources)
        if step.lock:
            _date(root, packages, step.lock.epoch)
    made = {"driver": f"{name} {version}", "sources": [source.record() for source in sources], "packages": packages}
    return {**made, "archives": inventory.recorded(archives, packages)}


def newer(step: Step, room: Room) -> dict[str, str]:
    name, _ = driver(step, schema)
    sources = [source._replace(keys={}) for source in _sources(step, room)]  # their lists only: nothing is installed
    cache = room.cache("pacman-newer")
    binds = [Bind(cache, _CACHE), *(Bind(folder, folder, read_only=True) for folder in sorted(_folders(sources)))]
    files = [(_CONFIGURATION, _configuration(room, sources).encode())]
    pacman = f"{name} --config={_CONFIGURATION} --root=/target --dbpath=/target/var/lib/pacman --logfile=/dev/null"
    ask = f"{pacman} -Sy >&2; {pacman} -Qu >{_CACHE}/said || :"  # 1: nothing is newer
    room.outside(["/bin/sh", "-e", "-c", ask], binds=binds, files=files, what="pacman -Sy")
    rows = (line.split() for line in taken(cache, "said").decode(errors="replace").splitlines())
    return {row[0]: row[3] for row in rows if len(row) >= 4 and row[2] == "->"}


def _folders(sources: Sequence[_Source]) -> set[str]:
    """The host's folders among the mirrors."""
    return {local_path(source.mirror).partition("/$")[0] for source in sources} - {""}


def _mirrors(sources: Sequence[_Source], arch: str) -> dict[str, str]:
    """By repository; the first of one name counts."""
    found = {}
    for source in reversed(sources):
        for name in reversed(source.repositories):
            found[name] = source.mirror.replace("$repo", name).replace("$arch", arch)
    return dict(reversed(found.items()))


def _date(root: int, packages: Mapping[str, str], epoch: int) -> None:
    """pacman notes when it installed what, and knows of no SOURCE_DATE_EPOCH."""
    with Layer(root) as layer:
        for name, version in packages.items():
            path = f"{inventory.ARCH}/{name}-{version}/desc"
            said = _INSTALLED.sub(b"%%INSTALLDATE%%\n%d" % epoch, read(root, path))
            layer.file(path, io.BytesIO(said), Meta(0o644))


def _sources(step: Step, room: Room) -> list[_Source]:
    """Those of the steps below, then the step's own. Error: there is none; a key in the tree is not what it was."""
    ours = (made for made in reversed(room.made) if str(made.get("driver", "")).startswith("pacman"))
    below: Mapping[str, Any] = next(ours, {})
    found = []
    for number, entry in enumerate(below.get("sources", ())):
        name = name_of(number)
        keys = {part: kept(room, f"{_KEPT}/{name}{part}", wanted) for part, wanted in entry["keys"].items()}
        found.append(_Source(name, entry["mirror"], tuple(entry["repositories"]), keys))
    if step.text("mirror"):
        own = _Source(name_of(len(found)), url(step), step.texts("repositories"), _keys(step))
        if not any(own[1:] == source[1:] for source in found):
            found.append(own)
    if not found:
        raise Error("pacman has no source", "no step below named one", "mirror and keyring name it")
    return found


def _keys(step: Step) -> dict[str, bytes]:
    """The keyring, and the lists beside it. Error: one is no such list."""
    if step.is_on("trust"):
        return {}
    found = {".gpg": keys(step)}
    for part in _LISTS:
        path = f"{keyring(step).removesuffix('.gpg')}{part}"
        if not os.path.lexists(path):
            continue
        if not step.text("keyring").startswith("/"):
            path = host_path(step, "keyring", path)
        if not os.path.isfile(path):
            raise step.error(f"{path} is not a file", "keyring")
        with open(path, "rb") as file:
            content = file.read()
        try:
            found[part] = _lines(part, content)
        except ValueError as error:
            raise step.error(f"{path} is no list of keys", "keyring", str(error)) from None
    return found


def _lines(part: str, content: bytes) -> bytes:
    """A list without comments and empty lines. ValueError: a line is none of such a list's, or nobody is trusted."""
    texts = [text for line in content.decode(errors="replace").splitlines() if (text := line.strip().upper())]
    lines = [text for text in texts if not text.startswith("#")]
    for line in lines:
        if not _LISTS[part].fullmatch(line):
            raise ValueError(f"{line[:80]!r} is no line of it")
    if part == "-trusted" and not lines:
        raise ValueError("it names nobody")
    return "".join(f"{line}\n" for line in lines).encode()


def _list(step: Step, mirror: str, repository: str, arch: str) -> str:
    """The digest of a repository's list of contents."""
    path = os.path.join(mirror.replace("$repo", repository).replace("$arch", arch), f"{repository}.db")
    if not os.path.isfile(path):
        brief = f"no repository {repository} in {mirror}"
        raise step.error(brief, "mirror", f"there is no {path}", "repo-add makes one")
    return digest_of(path)


def _configuration(room: Room, sources: Sequence[_Source]) -> str:
    """pacman.conf(5). Files are a lock's, verified by their digests."""
    lines = ["[options]", f"Architecture = {room.arch}", "LocalFileSigLevel = Never"]
    for source in sources:
        level = "Required DatabaseOptional TrustedOnly" if source.keys else "Never"
        for name in source.repositories:
            lines += [f"[{name}]", f"SigLevel = {level}", f"Server = {source.mirror}"]
    return "\n".join(lines) + "\n"


def _tidy(root: int, sources: Sequence[_Source]) -> None:
    with Layer(root) as layer:
        for path in ("var/lib/pacman/sync", "var/cache/pacman/pkg", "var/log/pacman.log"):
            layer.remove(path)
        for source in sources:
            for part, key in source.keys.items():
                layer.file(f"{_KEPT}/{source.name}{part}", io.BytesIO(key), Meta(0o644))
