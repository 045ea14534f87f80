"""gem: Ruby packages for everybody, by the tree's own gem.

gem keeps what it downloads beside what it installs, and takes from there what only has the right name. So each step
begins with nothing there, and its downloads go with it.
"""

import os
import re
import shutil
from typing import Any

from treesmith import inventory
from treesmith.sandbox.sandbox import Bind
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


def run(step: Step, room: Room) -> dict[str, Any]:
    if not step.texts("packages"):
        return {"packages": {}}
    before = _listed(room)
    home = room.ask(["gem", "environment", "gemdir"], env=_ENV).strip()
    downloads = os.path.join(room.cache(f"gem-{step.recipe_digest}"), "step")
    shutil.rmtree(downloads, ignore_errors=True)
    os.mkdir(downloads)
    binds = [Bind(downloads, f"{home}/cache")]
    argv = ["gem", "install", "--remote", "--no-document", "--no-user-install"]
    if path := folder(step, "source"):
        binds.append(Bind(path, _SOURCE, read_only=True))
        argv += ["--clear-sources", "--source", f"file://{_SOURCE}/"]
    elif step.text("source"):
        argv += ["--clear-sources", "--source", step.text("source")]
    try:
        room.inside([*argv, *step.texts("packages")], env=_ENV, binds=binds, what="gem install")
    finally:
        shutil.rmtree(downloads)
    return {"packages": inventory.added(before, _listed(room))}


def _listed(room: Room) -> dict[str, str]:
    return inventory.ruby(room.ask(["gem", "list", "--local"], env=_ENV))
