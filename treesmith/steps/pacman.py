"""pacman: Arch, or one of its family, into an empty root; later, packages into it. By the host's pacman.

It is what pacstrap calls, without pacstrap's mounts. Packages' signatures are checked against the keyring, except of a
source that the recipe trusts. A keyring is what pacman-key(8) has: beside NAME.gpg there may be NAME-trusted, whose
owners' word makes others' keys good (without it all are), and NAME-revoked, whose keys are good no more. The step that
fills the root names the source; those after it install from the same, and bring what is there up to date: Arch knows no
other way.

An install script that fails is a line of output, and pacman ends with 0: here it is a failure.
"""

import hashlib
import io
import os
import re
import shutil
from collections.abc import Mapping
from typing import Any, NamedTuple

from treesmith import inventory
from treesmith.archive.layer import Layer, Meta
from treesmith.archive.read import read
from treesmith.errors import Error
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.inputs import Inputs, Setting, digest_of, host_path, key_of
from treesmith.steps.programs import driver
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Option, Schema, Value
from treesmith.steps.source import kept_keys, keyring, keys, local_path, url
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
        "mirror": Option("source", "into an empty root: where from; it may hold $repo and $arch"),
        "repositories": Option("strings", "into an empty root: parts of the mirror", ("core", "extra")),
        "keyring": Option("source", "into an empty root: whose signatures are good, a file of gpg"),
        "trust": Option("bool", "take the packages unsigned, or signed by anybody", False),
    },
)

_CACHE = "/var/cache/treesmith"  # in the tools' root
_CONFIGURATION = f"{PASSING}/pacman.conf"
_KEYRING = f"{PASSING}/keyring"
_KEPT = "etc/pacman.d/treesmith"
# The lists of a keyring, and their lines: how far somebody is trusted is gpg's --export-ownertrust.
_LISTS = {"-trusted": re.compile(r"[0-9A-F]{40,64}:[2-6]:"), "-revoked": re.compile(r"[0-9A-F]{40,64}")}
_ALARM = "command failed to execute correctly"
# pacman takes keys from a gpg home, and from it only those that are valid: signed by one's own, or by whom that trusts.
_TRUST = f"""
umask 077; mkdir -p {_CACHE}/step/gpg; cd {_CACHE}/step/gpg
gpg() {{ command gpg --homedir . --batch --yes --no-auto-check-trustdb "$@" </dev/null; }}
gpg --import {_KEYRING}.gpg
gpg --with-colons --list-keys >all
if [ -e {_KEYRING}-trusted ]; then
    gpg --passphrase '' --quick-gen-key treesmith ed25519 sign never
    while IFS=: read -r key level; do gpg --quick-lsign-key "$key"; done <{_KEYRING}-trusted
    gpg --import-ownertrust {_KEYRING}-trusted
else
    awk -F: '$1 == "fpr" {{ print $10 ":6:" }}' all >trusted
    gpg --import-ownertrust trusted
fi
if [ -e {_KEYRING}-revoked ]; then
    while read -r key; do
        if grep -q "^fpr:.*:$key:" all; then gpg --delete-keys "$key"; fi
    done <{_KEYRING}-revoked
fi
gpg --check-trustdb
"""


class _Source(NamedTuple):
    mirror: str  # a URL
    repositories: tuple[str, ...]
    keys: Mapping[str, bytes]  # ".gpg", and of _LISTS what is there; nothing: trusted


def inputs(step: Step, setting: Setting) -> Inputs:
    for name in (*step.texts("packages"), *step.texts("repositories")):
        if name.startswith("-") or not name.isprintable() or any(mark in name for mark in " []") or not name:
            raise step.error(f"{name!r} is no name", "packages")
    facts: dict[str, Value] = {"driver": " ".join(driver(step, schema))}
    if not step.text("mirror"):
        return Inputs(facts, any("lists.used" in below.facts for below in setting.below))
    facts["mirror.used"] = mirror = url(step)
    if keys := _keys(step):
        facts["keyring.used"] = tuple(f"{part} {hashlib.sha256(key).hexdigest()}" for part, key in keys.items())
    local = local_path(mirror)
    if local:
        facts["lists.used"] = tuple(_list(step, local, name, setting.arch) for name in step.texts("repositories"))
    return Inputs(facts, pinned=bool(local))


def run(step: Step, room: Room) -> dict[str, Any]:
    name, version = driver(step, schema)
    source = _source(step, room)
    local = local_path(source.mirror).partition("/$")[0]
    trusted = key_of(source.mirror, {part: hashlib.sha256(key).hexdigest() for part, key in source.keys.items()})[:16]
    cache = room.cache(f"pacman-{trusted}")
    shutil.rmtree(os.path.join(cache, "step"), ignore_errors=True)
    os.makedirs(os.path.join(cache, "packages"), exist_ok=True)
    binds = [Bind(cache, _CACHE), *([Bind(local, local, read_only=True)] if local else [])]
    files = [(_CONFIGURATION, _configuration(room, source).encode())]
    files += [(f"{_KEYRING}{part}", key) for part, key in source.keys.items()]
    room.say(f"{name} {version}: {' '.join(step.texts('packages'))} from {source.mirror}")
    if source.keys:
        room.outside(["/bin/sh", "-e", "-c", _TRUST], binds=binds, files=files, what="gpg")
    with room.root() as root:
        before = inventory.arch(root)
        with Layer(root) as layer:
            layer.folder("var/lib/pacman", Meta(0o755))
    argv = [name, "--noconfirm", "--noprogressbar", f"--config={_CONFIGURATION}", "--root=/target"]
    argv += ["--dbpath=/target/var/lib/pacman", f"--cachedir={_CACHE}/packages", f"--gpgdir={_CACHE}/step/gpg"]
    argv += ["--hookdir=/target/etc/pacman.d/hooks", "--logfile=/dev/null", "-Syu", *step.texts("packages")]
    room.outside(argv, binds=binds, files=files, what="pacman -Syu", alarms=(_ALARM,))
    shutil.rmtree(os.path.join(cache, "step"), ignore_errors=True)
    with room.root() as root:
        _tidy(root, source)
        after = inventory.arch(root)
    made = {"driver": f"{name} {version}", "mirror": source.mirror, "repositories": list(source.repositories)}
    return {**made, "packages": inventory.added(before, after)}


def _source(step: Step, room: Room) -> _Source:
    if step.text("mirror"):
        return _Source(url(step), step.texts("repositories"), _keys(step))
    below = next((made for made in reversed(room.made) if str(made.get("driver", "")).startswith("pacman")), None)
    if below is None:
        raise Error("pacman has no source", "no step below named one", "mirror and keyring name it")
    return _Source(str(below["mirror"]), tuple(below["repositories"]), _kept_keys(step, room))


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


def _kept_keys(step: Step, room: Room) -> dict[str, bytes]:
    key = kept_keys(step, room, f"{_KEPT}.gpg")
    if not key:
        return {}
    with room.root() as root:
        lists = {part: read(root, f"{_KEPT}{part}") for part in _LISTS}
    try:
        return {".gpg": key} | {part: _lines(part, content) for part, content in lists.items() if content}
    except ValueError as error:
        raise Error(
            f"{_KEPT}-* in the tree is no list of keys", str(error), "a step before this one changed it"
        ) from None


def _list(step: Step, mirror: str, repository: str, arch: str) -> str:
    """The digest of a repository's list of contents."""
    path = os.path.join(mirror.replace("$repo", repository).replace("$arch", arch), f"{repository}.db")
    if not os.path.isfile(path):
        brief = f"no repository {repository} in {mirror}"
        raise step.error(brief, "mirror", f"there is no {path}", "repo-add makes one")
    return digest_of(path)


def _configuration(room: Room, source: _Source) -> str:
    """pacman.conf(5)"""
    level = "Required DatabaseOptional TrustedOnly" if source.keys else "Never"
    lines = ["[options]", f"Architecture = {room.arch}", f"SigLevel = {level}", "LocalFileSigLevel = Required"]
    for name in source.repositories:
        lines += [f"[{name}]", f"Server = {source.mirror}"]
    return "\n".join(lines) + "\n"


def _tidy(root: int, source: _Source) -> None:
    with Layer(root) as layer:
        for path in ("var/lib/pacman/sync", "var/cache/pacman/pkg", "var/log/pacman.log"):
            layer.remove(path)
        for part, key in source.keys.items():
            layer.file(f"{_KEPT}{part}", io.BytesIO(key), Meta(0o644))
