"""pip: Python packages, into a venv or among the tree's own, by the tree's own python3."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from treesmith import inventory
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.archives import LOCKED, shelf, taken
from treesmith.steps.inputs import Inputs, Setting, file_facts, host_path
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Option, Schema, Value
from treesmith.steps.source import folder
from treesmith.steps.step import Step

schema = Schema(
    kind="pip",
    help="Python packages, by the tree's own python3",
    main="packages",
    network=True,
    options={
        "packages": Option("strings", "requirements, as pip takes them"),
        "requirements": Option("file", "a file of requirements"),
        "venv": Option("path", "the virtual environment; made if it is not there. Else: the tree's own packages"),
        "hashes": Option("bool", "refuse what has no hash in the requirements", False),
        "index": Option(
            "source", "the package index: a URL, or a folder (PEP 503); else what the caller's PIP_INDEX_URL says"
        ),
    },
)

_HERE = f"{PASSING}/requirements"
_REPORT = "treesmith.json"
_REPORTS = [22, 2]  # since when pip does
_INDEX = f"{PASSING}/index"
_ENV = {
    "PIP_CACHE_DIR": f"{PASSING}/pip",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PIP_PROGRESS_BAR": "off",
    "PIP_ROOT_USER_ACTION": "ignore",
    "LC_ALL": "C.UTF-8",
}
_FROM_CALLER = ("PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES")
_INCLUDED = re.compile(r"(?:-r|-c|--requirement|--constraint)(?:\s+|=|(?<=-[rc]))(?P<file>\S+)$")
_LOCAL = re.compile(r"(?:-e\b|--editable\b|\.{0,2}/|.*\bfile:|(?:-f|--find-links)\s*=?\s*(?!https?:))", re.DOTALL)


def inputs(step: Step, setting: Setting) -> Inputs:
    if not step.texts("packages") and not step.text("requirements"):
        raise step.error("pip needs packages or requirements")
    for package in step.texts("packages"):
        if package.startswith("-") or _LOCAL.match(package):
            raise step.error(f"{package!r} is neither a package's name nor a requirement", "packages")
    facts: dict[str, Value] = {}
    for name, path in _requirements(step):
        facts |= file_facts(path, f"file {name}")
    if index := folder(step, "index"):
        facts |= file_facts(index, f"file {step.text('index')}")
    return Inputs(facts, pinned=step.is_on("hashes") or bool(index) or not step.network)


def _requirements(step: Step) -> Iterator[tuple[str, str]]:
    """The file of requirements and those it names: (path relative to the recipe's folder, host path)."""
    waiting = [os.path.normpath(step.text("requirements"))] if step.text("requirements") else []
    seen = set(waiting)
    while waiting:
        name = waiting.pop()
        path = host_path(step, "requirements", name)
        if not os.path.isfile(path):
            raise step.error(f"{name} is not a file", "requirements")
        yield name, path
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
        for line in re.sub(r"\\\r?\n", " ", text).splitlines():
            line = re.sub(r"(^|\s)#.*", "", line).strip()
            if found := _INCLUDED.match(line):
                other = os.path.normpath(os.path.join(os.path.dirname(name), found["file"]))
                if "://" not in found["file"] and other not in seen:
                    seen.add(other)
                    waiting.append(other)
            elif _LOCAL.match(line):
                hint = "copy it into the tree in a step of its own, or serve it by an index"
                raise step.error(
                    f"{name}: {line!r} is of the recipe's folder, where pip inside cannot see it", hint=hint
                )


def loose(step: Step) -> str:
    assert step.lock
    if "archives" not in step.lock.made:
        return "what its pip fetched is not known: pip says so from 22.2 on"
    if named := step.lock.made.get("unpinned"):
        return f"{', '.join(named)}: neither a wheel nor by any digest; what builds one is fetched at the time"
    return ""


def run(step: Step, room: Room) -> dict[str, Any]:
    venv = step.text("venv").rstrip("/")
    env = dict(_ENV)
    if venv:
        room.inside(["python3", "-m", "venv", venv], env=env)
        python = f"{venv}/bin/python"
    else:
        python = "python3"
        env["PIP_BREAK_SYSTEM_PACKAGES"] = "1"  # Debian's python3 says no to pip; whoever wrote the recipe said yes
    install = [python, "-m", "pip", "install"]
    brought = _by_lock(step, room, install, env) if step.lock else _by_index(step, room, install, env)
    return {"packages": inventory.python(room.ask([python, "-m", "pip", "freeze", "--all"], env=env)), **brought}


def newer(step: Step, room: Room) -> dict[str, str]:
    venv = step.text("venv").rstrip("/")
    argv = [f"{venv}/bin/python" if venv else "python3", "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    return inventory.python_versions(_install(step, room, argv, {**_ENV, "PIP_BREAK_SYSTEM_PACKAGES": "1"}))


def _by_index(step: Step, room: Room, argv: list[str], env: Mapping[str, str]) -> dict[str, Any]:
    report = _install(step, room, argv, env)
    if not report:
        return {}
    brought = inventory.python_archives(report)
    inside, outside = f"file://{_INDEX}/", f"file://{folder(step, 'index')}/"
    archives = {
        name: archive._replace(source=outside + archive.source.removeprefix(inside))
        if archive.source.startswith(inside)
        else archive
        for name, archive in brought.archives.items()
    }
    return {"archives": inventory.recorded(archives, archives), "unpinned": brought.unpinned}


def _install(step: Step, room: Room, argv: list[str], env: Mapping[str, str]) -> bytes:
    """What pip reports of it; b"": it is too old to."""
    files = []
    for name, path in _requirements(step):
        with open(path, "rb") as file:
            files.append((f"{_HERE}/{name}", file.read()))
    # Setup scripts can write to the cache and pip believes what it finds there: each recipe has its own.
    cache = room.cache(f"pip-{step.recipe_digest}")
    binds = [Bind(cache, _ENV["PIP_CACHE_DIR"])]
    if index := folder(step, "index"):
        binds.append(Bind(index, _INDEX, read_only=True))
    env = {**env, **_index(step, room)}
    if step.is_on("hashes"):
        argv = [*argv, "--require-hashes"]
    if step.text("requirements"):
        argv = [*argv, "-r", f"{_HERE}/{os.path.normpath(step.text('requirements'))}"]
    version = room.ask([argv[0], "-c", "import pip; print(pip.__version__)"], env=env)
    if [int(part) if part.isdigit() else 0 for part in version.strip().split(".")[:2]] >= _REPORTS:
        argv = [*argv, "--report", f"{_ENV['PIP_CACHE_DIR']}/{_REPORT}"]
    room.inside([*argv, *step.texts("packages")], env=env, binds=binds, files=files, what="pip install")
    return taken(cache, _REPORT)


def _by_lock(step: Step, room: Room, argv: list[str], env: dict[str, str]) -> dict[str, Any]:
    assert step.lock
    lines = []
    for archive in step.archives.values():
        name, version = archive.file.split("-")[:2]  # binary distribution format: of a wheel
        lines.append(f"{name}=={version} --hash={archive.digest}\n")
    files = [(f"{_HERE}/locked.txt", "".join(lines).encode())]
    argv = [*argv, "--no-index", "--no-deps", "--require-hashes", "--find-links", LOCKED, "-r", f"{_HERE}/locked.txt"]
    if lines:
        with shelf(step, room) as shelves:
            room.inside(argv, env=env, binds=[shelves.bind], files=files, what="pip install")
    return {word: step.lock.made[word] for word in ("archives", "unpinned")}


def _index(step: Step, room: Room) -> dict[str, str]:
    """Where pip fetches: the recipe's word before the caller's. The caller's own folders are not inside."""
    if folder(step, "index"):
        return {"PIP_INDEX_URL": f"file://{_INDEX}"}
    if step.text("index"):
        return {"PIP_INDEX_URL": step.text("index")}
    said = {name: room.caller.get(name, "") for name in ("PIP_INDEX_URL", *_FROM_CALLER)}
    return {name: value for name, value in said.items() if value and "file:" not in value}
