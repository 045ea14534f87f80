"""npm: Node packages by the tree's own npm: what a lock file says into a folder, or packages for everybody."""

import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

from treesmith import inventory
from treesmith.archive.layer import Layer, Meta
from treesmith.archive.read import read
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.archives import shelf, taken
from treesmith.steps.inputs import Inputs, Setting, file_facts, host_path
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Option, Schema, Value
from treesmith.steps.step import Step

schema = Schema(
    kind="npm",
    help="Node packages, by the tree's own npm",
    main="packages",
    network=True,
    one_of=("packages", "lock"),
    options={
        "packages": Option("strings", "names, or name@version; without `to` for everybody (npm install --global)"),
        "lock": Option("file", "a folder with package.json and package-lock.json, which `to` gets (npm ci)"),
        "to": Option("path", "the folder that gets node_modules"),
        "dev": Option("bool", "also what is needed for development only", False),
        "registry": Option("string", "the registry's URL; else what the caller's npm uses"),
    },
)

_FILES = ("package.json", "package-lock.json")
_OWN = f"{PASSING}/own"
_ENV = {
    "npm_config_cache": f"{PASSING}/npm",
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_progress": "false",
    "npm_config_update_notifier": "false",
    "LC_ALL": "C.UTF-8",
}


def inputs(step: Step, setting: Setting) -> Inputs:
    if step.text("lock") and not step.text("to"):
        raise step.error("npm with a lock needs `to`, the folder that gets node_modules")
    for package in step.texts("packages"):
        if package.startswith(("-", ".", "/")) or "file:" in package:
            raise step.error(f"{package!r} is no package of a registry", "packages")
    facts: dict[str, Value] = {}
    for name, path in _locked(step):
        facts |= file_facts(path, f"file {name}")
    return Inputs(facts, pinned=_is_pinned(step) or not step.network)


def _is_pinned(step: Step) -> bool:
    """Whether a lock names a hash of everything that is fetched."""
    return bool(step.text("lock")) and all(
        "integrity" in entry or entry.get("inBundle") or str(entry.get("resolved")).startswith("file:")
        for name, entry in _packages(step).items()
        if name
    )


def _locked(step: Step) -> Iterator[tuple[str, str]]:
    """package.json, package-lock.json and the archives of the folder that they name: (name, host path)."""
    if not step.text("lock"):
        return
    names = [*_FILES, *_archives(step)]
    for name in names:
        path = host_path(step, "lock", os.path.join(step.text("lock"), name))
        if not os.path.isfile(path):
            raise step.error(f"{name} is not a file", "lock")
        yield name, path


def _archives(step: Step) -> Iterator[str]:
    for name, entry in _packages(step).items():
        if entry.get("link"):
            raise step.error(f"{name} is a link to a folder, which npm inside cannot see", "lock")
        if str(entry.get("resolved")).startswith("file:"):
            yield os.path.normpath(entry["resolved"].removeprefix("file:"))


def _packages(step: Step) -> dict[str, dict[str, Any]]:
    """What the lock file lists, by path."""
    path = host_path(step, "lock", os.path.join(step.text("lock"), "package-lock.json"))
    try:
        with open(path, "rb") as file:
            packages = json.load(file)["packages"]
        return {name: dict(entry) for name, entry in packages.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        hint = "npm 7 or later writes one: npm install --package-lock-only"
        raise step.error("package-lock.json lists no packages", "lock", hint=hint) from None


def loose(step: Step) -> str:
    assert step.lock
    if not step.text("to"):
        return "npm keeps no lock of what is for everybody: with `to` it goes into a folder, and there it does"
    if named := step.lock.made.get("unpinned"):
        return f"{', '.join(named)}: no SHA-512 holds it"
    return "" if "archives" in step.lock.made else "what it fetched is not known"


def run(step: Step, room: Room) -> dict[str, Any]:
    if step.lock:
        return _by_lock(step, room)
    env = {**_ENV, **_registry(step, room)}
    # npm holds what is in its cache against a lock's hashes; without them it believes it, so each recipe has its own.
    name = "npm" if _is_pinned(step) else f"npm-{step.recipe_digest}"
    binds = [Bind(room.cache(name), _ENV["npm_config_cache"])]
    to = step.text("to").rstrip("/")
    dev = [] if step.is_on("dev") else ["--omit=dev"]
    if step.text("lock"):
        _lay(step, room)
        room.inside(["npm", "ci", *dev], env=env, binds=binds, chdir=to or "/")
    elif to:
        with room.root() as root, Layer(root) as layer:
            if not layer.is_folder(to):
                layer.folder(to, Meta())
        room.inside(["npm", "install", *dev, *step.texts("packages")], env=env, binds=binds, chdir=to)
    else:
        room.inside(["npm", "install", "--global", *step.texts("packages")], env=env, binds=binds)
        return {"packages": inventory.node(room.ask(["npm", "ls", "--global", "--json"], env=env))}
    return _made(step, room)


def newer(step: Step, room: Room) -> dict[str, str]:
    """By a lock made anew, in a folder of its own. What a lock of the recipe's holds stays as it is."""
    if step.text("lock"):
        return {}
    own = room.cache(f"npm-{step.recipe_digest}")
    env = {**_ENV, **_registry(step, room), "npm_config_cache": f"{_OWN}/resolved/cache"}
    argv = ["npm", "install", "--package-lock-only", "--prefix", f"{_OWN}/resolved", *step.texts("packages")]
    path = os.path.join(own, "resolved")
    shutil.rmtree(path, ignore_errors=True)
    os.mkdir(path)
    try:
        room.inside(argv, env=env, binds=[Bind(own, _OWN)], what="npm install --package-lock-only")
        found = inventory.node(taken(path, "package-lock.json"))
    finally:
        shutil.rmtree(path, ignore_errors=True)
    return found if step.text("to") else {name: found[name] for name in found if "node_modules/" not in name}


def _lay(step: Step, room: Room) -> None:
    """The lock, and what of the recipe's folder it names."""
    with room.root() as root, Layer(root) as layer:
        for name, path in _locked(step):
            with open(path, "rb") as file:
                layer.file(f"{step.text('to').rstrip('/')}/{name}", file, Meta(0o644))


def _made(step: Step, room: Room) -> dict[str, Any]:
    to = step.text("to").rstrip("/")
    with room.root() as root:
        there = read(root, f"{to}/node_modules/.package-lock.json") or b"{}"
        files = {} if step.text("lock") else {name: read(root, f"{to}/{name}").decode() for name in _FILES}
    archives, unpinned = inventory.node_archives(there)
    made = {"packages": inventory.node(there), "archives": inventory.recorded(archives, archives), "unpinned": unpinned}
    return {**made, "files": files} if files else made


def _by_lock(step: Step, room: Room) -> dict[str, Any]:
    """npm ci, from a cache with what the lock names: npm looks there by digest before it asks a registry."""
    assert step.lock
    to = step.text("to").rstrip("/")
    if step.text("lock"):
        _lay(step, room)
    else:
        with room.root() as root, Layer(root) as layer:
            for name in _FILES:
                layer.text(f"{to}/{name}", step.lock.made["files"][name])
    with shelf(step, room, lambda archive: archive.digest) as shelves:
        for digest in os.listdir(shelves.archives):
            algorithm, _, value = digest.partition(":")
            path = os.path.join(shelves.own, "_cacache/content-v2", algorithm, value[:2], value[2:4], value[4:])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            shutil.copyfile(os.path.join(shelves.archives, digest), path)
        binds = [Bind(shelves.own, _ENV["npm_config_cache"])]
        argv = ["npm", "ci", "--offline", *([] if step.is_on("dev") else ["--omit=dev"])]
        room.inside(argv, env=_ENV, binds=binds, chdir=to or "/")
    return _made(step, room)


def _registry(step: Step, room: Room) -> dict[str, str]:
    """Which registry: the recipe's word before the caller's environment, before the caller's .npmrc."""
    said = step.text("registry")
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        said = said or room.caller.get(name, "")
    if not said and room.caller.get("HOME", "").startswith("/"):
        said = _npmrc(os.path.join(room.caller["HOME"], ".npmrc"))
    return {"npm_config_registry": said} if said else {}


def _npmrc(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            rows = [line.partition("=") for line in file]
    except OSError:
        return ""
    return next((value.strip() for name, _, value in rows if name.strip() == "registry"), "")
