"""gem: Ruby packages for everybody, by the tree's own gem.

gem keeps what it downloads beside what it installs, and takes from there what only has the right name. So each step
begins with nothing there, and its downloads go with it.
"""

import os
import re
import shutil
from typing import Any

from treesmith import inventory
from treesmith.inventory import Archive
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.archives import LOCKED, digests, shelf, taken
from treesmith.steps.inputs import Inputs, Setting, file_facts
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Option, Schema, Value
from treesmith.steps.source import folder
from treesmith.steps.step import Step

schema = Schema(
    kind="gem",
    help="Ruby packages, by the tree's own gem",
    main="packages",
    network=True,
    options={
        "packages": Option("strings", "names, or name:version, as gem takes them", required=True),
        "source": Option("source", "where gems are: a URL, or a folder with an index; else what the tree's gem asks"),
    },
)

_SOURCE = f"{PASSING}/source"
_OWN = f"{PASSING}/gem"
_ENV = {"GEM_SPEC_CACHE": f"{PASSING}/specs", "LC_ALL": "C.UTF-8"}
_PACKAGE = re.compile(r"[A-Za-z0-9_][\w.-]*(?<!\.gem)(:[^:]+)?", re.ASCII)


def inputs(step: Step, setting: Setting) -> Inputs:
    for package in step.texts("packages"):
        if not _PACKAGE.fullmatch(package):
            raise step.error(f"{package!r} is neither a gem's name nor name:version", "packages")
    facts: dict[str, Value] = {}
    if path := folder(step, "source"):
        facts |= file_facts(path, f"file {step.text('source')}")
    return Inputs(facts, pinned=bool(path) or not step.network)


def loose(step: Step) -> str:
    assert step.lock
    made = step.lock.made
    return "what it fetched is not known" if made.get("packages") and not made.get("archives") else ""


def run(step: Step, room: Room) -> dict[str, Any]:
    if not step.texts("packages"):
        return {"packages": {}}
    before = _listed(room)
    archives = (_by_lock if step.lock else _by_source)(step, room)
    return {"packages": inventory.added(before, _listed(room)), "archives": inventory.recorded(archives, archives)}


def _by_lock(step: Step, room: Room) -> dict[str, Archive]:
    """All that the lock names; gem need not look for what they need."""
    with shelf(step, room) as shelves:
        binds = [shelves.bind, Bind(shelves.own, f"{_home(room)}/cache")]
        names = sorted(f"{LOCKED}/{name}" for name in os.listdir(shelves.archives))
        argv = ["gem", "install", "--local", "--ignore-dependencies", "--no-document", "--no-user-install", *names]
        if names:
            room.inside(argv, env=_ENV, binds=binds, what="gem install")
    return step.archives


def newer(step: Step, room: Room) -> dict[str, str]:
    if not step.texts("packages"):
        return {}
    own = room.cache(f"gem-{step.recipe_digest}")
    argv, binds = _asking(step)
    words = [*argv, "--explain", *step.texts("packages")]
    binds.append(Bind(own, _OWN))
    room.inside(["/bin/sh", "-c", f'"$@" >{_OWN}/said', "sh", *words], env=_ENV, binds=binds, what="gem install")
    return inventory.explained(taken(own, "said").decode(errors="replace"))


def _asking(step: Step) -> tuple[list[str], list[Bind]]:
    argv = ["gem", "install", "--remote", "--no-document", "--no-user-install"]
    if path := folder(step, "source"):
        argv += ["--clear-sources", "--source", f"file://{_SOURCE}/"]
        return argv, [Bind(path, _SOURCE, read_only=True)]
    if step.text("source"):
        argv += ["--clear-sources", "--source", step.text("source")]
    return argv, []


def _by_source(step: Step, room: Room) -> dict[str, Archive]:
    """By name-version, as gem calls them: there may be two versions of one."""
    home = _home(room)
    downloads = os.path.join(room.cache(f"gem-{step.recipe_digest}"), "step")
    shutil.rmtree(downloads, ignore_errors=True)
    os.mkdir(downloads)
    argv, binds = _asking(step)
    binds.append(Bind(downloads, f"{home}/cache"))
    path = folder(step, "source")
    try:
        room.inside([*argv, *step.texts("packages")], env=_ENV, binds=binds, what="gem install")
        source = f"file://{path}" if path else (step.text("source") or _usual(room)).rstrip("/")
        return {
            name.removesuffix(".gem"): Archive(digest, f"{source}/gems/{name}")
            for name, digest in digests(downloads).items()
            if name.endswith(".gem")
        }
    finally:
        shutil.rmtree(downloads)


def _home(room: Room) -> str:
    return room.ask(["gem", "environment", "gemdir"], env=_ENV).strip()


def _usual(room: Room) -> str:
    """Where the tree's gem looks first."""
    return next(iter(room.ask(["gem", "environment", "remotesources"], env=_ENV).split()), "")


def _listed(room: Room) -> dict[str, str]:
    return inventory.ruby(room.ask(["gem", "list", "--local"], env=_ENV))
