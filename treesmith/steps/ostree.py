"""ostree: a commit of an OSTree repository, checked out into an empty root, by the host's ostree.

It is pulled into a repository in the cache, which holds each object once, and verified on the way: the signature of the
commit by the keyring, except of a repository that the recipe trusts, and every object by its digest.
"""

import hashlib
import os
import re
from typing import Any

from treesmith.archive.layer import Layer, Meta
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.inputs import Inputs, Setting, digest_of
from treesmith.steps.programs import driver
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Option, Schema, Value
from treesmith.steps.source import keyring, local_path, url
from treesmith.steps.step import Step

schema = Schema(
    kind="ostree",
    help="a commit of an OSTree repository, into an empty root",
    network=True,
    drivers=("ostree",),
    bootstraps="only",
    options={
        "ref": Option("string", "the branch, or a commit's digest", required=True),
        "mirror": Option("source", "the repository: a folder, or a URL", required=True),
        "keyring": Option("source", "whose signatures are good, a file of gpg"),
        "trust": Option("bool", "take a commit unsigned, or signed by anybody", False),
    },
)

_CACHE = "/var/cache/treesmith"  # in the tools' root
_REPOSITORY = f"{_CACHE}/repo"
_KEY = f"{PASSING}/key"
_COMMIT = re.compile(r"[0-9a-f]{64}")
_REF = re.compile(r"[\w.-]+(/[\w.-]+)*", re.ASCII)


def inputs(step: Step, setting: Setting) -> Inputs:
    ref, mirror = step.text("ref"), url(step)
    if not _REF.fullmatch(ref) or ref.startswith("-") or ".." in ref:
        raise step.error(f"{ref!r} is no branch and no commit", "ref")
    facts: dict[str, Value] = {"driver": " ".join(driver(step, schema))}
    if not step.is_on("trust"):
        facts["keyring.used"] = digest_of(keyring(step))
    local = local_path(mirror)
    if not local:
        facts["mirror.used"] = mirror
    elif not _COMMIT.fullmatch(ref) and not step.lock:
        facts["ref.commit"] = _tip(step, local)
    return Inputs(facts, pinned=bool(local or _COMMIT.fullmatch(ref)))


def loose(step: Step) -> str:
    return "" if local_path(url(step)) else "what a server has is pulled, and a locked step has no network"


def _tip(step: Step, folder: str) -> str:
    """The commit that a branch of a repository on this machine is at: repo/refs/heads, ostree-repo(5)."""
    path = os.path.join(folder, "refs/heads", step.text("ref"))
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(65).strip()
    except OSError as error:
        raise step.error(f"{folder} has no branch {step.text('ref')}", "ref", f"{path}: {error.strerror}") from None


def run(step: Step, room: Room) -> dict[str, Any]:
    name, version = driver(step, schema)
    mirror, ref = url(step), str(step.lock.made["commit"]) if step.lock else step.text("ref")
    path = "" if step.is_on("trust") else keyring(step)
    trusted = hashlib.sha256(f"{mirror}\n{digest_of(path) if path else ''}".encode()).hexdigest()[:16]
    cache = room.cache(f"ostree-{trusted}")
    local = local_path(mirror)
    binds = [Bind(cache, _CACHE)]
    binds += [Bind(local, local, read_only=True)] if local else []
    binds += [Bind(path, _KEY, read_only=True)] if path else []

    def ostree(*words: str) -> None:
        argv = ["ostree", f"--repo={_REPOSITORY}", *words]
        room.outside(argv, binds=binds, env={"HOME": PASSING}, what=f"ostree {words[0]}")

    room.say(f"{name} {version}: {ref} from {mirror}")
    ostree("init", "--mode=bare")
    verified = [f"--gpg-import={_KEY}"] if path else ["--no-gpg-verify"]
    ostree("remote", "add", "--if-not-exists", *verified, "origin", mirror)
    ostree("pull", "--untrusted", "origin", ref)  # or of a folder no digest would be looked at
    ostree("checkout", "--union", "--force-copy", ref if _COMMIT.fullmatch(ref) else f"origin:{ref}", "/target")
    with room.root() as root, Layer(root) as layer:
        for place, mode in (("dev", 0o755), ("proc", 0o555), ("sys", 0o555)):
            if not layer.is_folder(place):
                layer.folder(place, Meta(mode))
    return {"driver": f"{name} {version}", "mirror": mirror, "commit": _pulled(cache, ref)}


def _pulled(cache: str, ref: str) -> str:
    if _COMMIT.fullmatch(ref):
        return ref
    with open(f"{cache}/repo/refs/remotes/origin/{ref}", encoding="ascii") as file:
        return file.read().strip()
