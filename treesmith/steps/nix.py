"""nix: packages with all that they need, as Nix has them, into a tree or an empty root; they are its default profile.

The host's nix evaluates and builds in a store of the recipe's own, outside the trees: what builds there could change
what others find. The closure of the profile is copied into the tree then, where a launch finds it by
/nix/var/nix/profiles/default. Substitutes are taken only if a key signed them that nix.conf(5) has by itself:
cache.nixos.org's.

A lock has the closure's paths with the hashes of their contents. A locked step fetches and builds as ever, and fails if
one is another.
"""

import re
from collections.abc import Mapping
from typing import Any

from treesmith.archive.layer import Layer, Meta
from treesmith.archive.read import read_below
from treesmith.errors import Error
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.inputs import Inputs, Setting, file_facts, host_path
from treesmith.steps.network import outfit
from treesmith.steps.nix_database import settle
from treesmith.steps.programs import driver
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Option, Schema, Value
from treesmith.steps.step import Step

schema = Schema(
    kind="nix",
    help="Nix packages and what they need, as a profile, by the host's nix",
    main="packages",
    network=True,
    drivers=("nix",),
    bootstraps="also",
    checked=True,
    options={
        "packages": Option("strings", "attributes of the expression", required=True),
        "file": Option("file", "the expression: a file, or a folder with a default.nix", required=True),
    },
)

_HERE = f"{PASSING}/expression"
FOLDERS = {"dev": 0o755, "proc": 0o555, "run": 0o755, "sys": 0o555, "tmp": 0o1777, "root": 0o700}
_PROFILES = "nix/var/nix/profiles"
_LISTED = "/nix/treesmith"
# What the tree's profile has already stays in it.
_INSTALL = f"""
file=$1; shift
mkdir -p "$HOME"; rm -rf /{_PROFILES} {_LISTED}; mkdir -p /{_PROFILES} {_LISTED}
if old=$(readlink /target/{_PROFILES}/default) && old=$(readlink "/target/{_PROFILES}/$old"); then
    nix copy --no-check-sigs --from /target "$old"
    nix-env --profile /{_PROFILES}/default --set "$old"
fi
nix-env --profile /{_PROFILES}/default --file "$file" --install --attr "$@"
nix copy --no-check-sigs --to /target /{_PROFILES}/default
readlink -f /{_PROFILES}/default >{_LISTED}/profile
nix-store --query --requisites /{_PROFILES}/default | sort >{_LISTED}/closure
xargs nix-store --query --hash <{_LISTED}/closure >{_LISTED}/hashes
"""
_PATH = f'export PATH="/{_PROFILES}/default/bin:$PATH"\n'
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_.'-]*", re.ASCII)
_NAMED = re.compile(r"/(?:nix|gnu)/store/[0-9a-z]{32}-(?P<name>.+?)(?:-(?P<version>[0-9].*))?")


def inputs(step: Step, setting: Setting) -> Inputs:
    for package in step.texts("packages"):
        if not _ATTRIBUTE.fullmatch(package):
            raise step.error(f"{package!r} is no attribute", "packages")
    if not step.texts("packages"):
        raise step.error("nix needs packages", "packages")
    facts: dict[str, Value] = {"driver": " ".join(driver(step, schema))}
    facts |= file_facts(host_path(step, "file"), f"file {step.text('file')}")
    return Inputs(facts, pinned=not step.network)


def loose(step: Step) -> str:
    assert step.lock
    return "" if step.lock.made.get("closure") else "the contents of its closure are not known"


def run(step: Step, room: Room) -> dict[str, Any]:
    name, version = driver(step, schema)
    cache = room.cache(f"nix-{step.recipe_digest}")
    binds = [Bind(cache, "/nix"), Bind(host_path(step, "file"), _HERE, read_only=True)]
    files = [(f"{PASSING}/nix/nix.conf", _configuration(step, room).encode())]
    env = {"HOME": f"{PASSING}/home", "NIX_CONF_DIR": f"{PASSING}/nix"}
    if bundle := outfit(room.caller).bundle if step.network else "":
        env["NIX_SSL_CERT_FILE"] = bundle
    room.say(f"{name} {version}: {' '.join(step.texts('packages'))} of {step.text('file')}")
    argv = ["/bin/sh", "-e", "-c", _INSTALL, "sh", _HERE, *step.texts("packages")]
    room.outside(argv, env=env, binds=binds, files=files, what="nix-env --install")
    said = (read_below(cache, f"treesmith/{name}").decode().split() for name in ("profile", "closure", "hashes"))
    (profile,), paths, hashes = said
    closure = dict(zip(paths, hashes, strict=True))
    if step.lock:
        _check(closure, step.lock.made["closure"])
    with room.root() as root:
        _furnish(root, profile)
        if step.lock:
            settle(root, step.lock.epoch)
    named = packages("\n".join(paths))
    return {"driver": f"{name} {version}", "profile": profile, "packages": named, "closure": closure}


def _check(made: Mapping[str, str], locked: Mapping[str, str]) -> None:
    """Error: a path has other contents, is missing, or should not be there."""
    other = sorted(path for path in {*made, *locked} if made.get(path) != locked.get(path))
    if other:
        more = [f"and {len(other) - 3} more"] if len(other) > 3 else []
        raise Error("it made something else than what was locked", "\n".join([*other[:3], *more]))


def _configuration(step: Step, room: Room) -> str:
    """nix.conf(5). The step's sandbox is around its builders. Without substitutes nothing asks for them, and waits."""
    lines = ["experimental-features = nix-command", "sandbox = false", "filter-syscalls = false", "build-users-group ="]
    lines += [f"system = {room.arch}-linux", f"substitute = {'true' if step.network else 'false'}"]
    return "\n".join([*lines, "connect-timeout = 15", ""])


def packages(closure: str) -> dict[str, str]:
    """NAME -> version, or "", of store paths, Nix's or Guix's."""
    found = filter(None, map(_NAMED.fullmatch, closure.splitlines()))
    return {one["name"]: one["version"] or "" for one in found}


def _furnish(root: int, profile: str) -> None:
    """Make the closure the tree's profile, and leave what a root has to have."""
    with Layer(root) as layer:
        for path, mode in FOLDERS.items():
            if not layer.is_folder(path):
                layer.folder(path, Meta(mode))
        for path in ("gc.lock", "db/big-lock", "db/reserved"):
            layer.remove(f"nix/var/nix/{path}")
        layer.link(f"{_PROFILES}/default-1-link", profile, Meta())
        layer.link(f"{_PROFILES}/default", "default-1-link", Meta())
        layer.text("etc/profile.d/treesmith-nix.sh", _PATH)
