"""cpan: Perl modules among the tree's own, by its cpanm or, where it has none, its cpan. Their tests are not run.

Both build in folders that end with the step, as do their downloads: neither holds them against anything but what the
mirror itself says.
"""

import gzip
import json
import os
import re
import shutil
from typing import Any

from treesmith import inventory
from treesmith.errors import Error
from treesmith.inventory import Archive
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.archives import LOCKED, digests, shelf
from treesmith.steps.inputs import Inputs, Setting, file_facts
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Option, Schema, Value
from treesmith.steps.source import folder
from treesmith.steps.step import Step

schema = Schema(
    kind="cpan",
    help="Perl modules, by the tree's own cpanm or cpan",
    main="packages",
    network=True,
    options={
        "packages": Option("strings", "modules; with cpanm also Module@version and Module~requirement", required=True),
        "mirror": Option("source", "where they are: a URL, or a folder laid out as CPAN; else https://www.cpan.org"),
    },
)

_HOME = f"{PASSING}/cpan"
_MIRROR = f"{PASSING}/mirror"
_USUAL = "https://www.cpan.org"
_CONFIGURATION = f"{PASSING}/CPAN.pm"
_ENV = {
    "HOME": _HOME,
    "PERL_CPANM_HOME": _HOME,
    "PERL_MM_USE_DEFAULT": "1",  # ExtUtils::MakeMaker: every question has its default for an answer
    "NONINTERACTIVE_TESTING": "1",
    "LC_ALL": "C.UTF-8",
}
_SAVED = f"{PASSING}/saved"
_AUTHORS = "authors/id/"
_PLACE = re.compile(r"[A-Z]/[A-Z]{2}/[A-Z][\w-]*(/[\w+~-][\w.+~-]*)+", re.ASCII)
_PACKAGE = re.compile(r"(?P<module>[A-Za-z_]\w*(?:::\w+)*)(?P<version>[@~].+)?", re.ASCII)
_LISTED = """
use ExtUtils::Installed;
my $all = ExtUtils::Installed->new;
print "$_ ", $all->version($_) || "?", "\\n" for grep { $_ ne "Perl" } $all->modules;
"""
# What cpanm notes of each distribution that it installs.
_METAS = """
use Config;
for (glob "$Config{sitelibexp}/$Config{archname}/.meta/*/install.json") {
    open my $file, "<", $_ or die;
    print join("", map { s/[\\r\\n]+/ /gr } <$file>), "\\n";
}
"""
_MISSING = 'use Module::Metadata; print map { "$_\\n" } grep { !Module::Metadata->new_from_module($_) } @ARGV;'


def inputs(step: Step, setting: Setting) -> Inputs:
    for package in step.texts("packages"):
        if not _PACKAGE.fullmatch(package):
            raise step.error(f"{package!r} is no module's name", "packages")
    facts: dict[str, Value] = {}
    if path := folder(step, "mirror"):
        facts |= file_facts(path, f"file {step.text('mirror')}")
    return Inputs(facts, pinned=bool(path) or not step.network)


def loose(step: Step) -> str:
    assert step.lock
    made = step.lock.made
    if made.get("program") == "cpan":
        return 'cpan does not tell what it fetched; cpanm does, in a step before this one: apt = ["cpanminus"]'
    return "what it fetched is not known" if made.get("packages") and not made.get("archives") else ""


def run(step: Step, room: Room) -> dict[str, Any]:
    if not step.texts("packages"):
        return {"packages": {}}
    program = _program(room)
    before = _listed(room)
    if step.lock:
        more = _by_lock(step, room, program)
    else:
        path = folder(step, "mirror")
        mirror = f"file://{_MIRROR}" if path else (step.text("mirror") or _USUAL).rstrip("/")
        binds = [Bind(path, _MIRROR, read_only=True)] if path else []
        if program == "cpanm":
            more = _by_cpanm(step, room, mirror, binds)
        else:
            _by_cpan(step, room, mirror, binds)
            more = {}
    return {"program": program, "packages": inventory.added(before, _listed(room)), **more}


def _cpanm(step: Step, room: Room, mirror: str, binds: list[Bind], *options: str) -> None:
    argv = ["cpanm", "--notest", "--verbose", "--mirror", mirror, "--mirror-only", *options, *step.texts("packages")]
    room.inside(argv, env=_ENV, binds=binds, what="cpanm")


def _by_cpanm(step: Step, room: Room, mirror: str, binds: list[Bind]) -> dict[str, Any]:
    """And what it fetched: the archive of each distribution, and the modules that it says are in it."""
    own = os.path.join(room.cache(f"cpan-{step.recipe_digest}"), "step")
    shutil.rmtree(own, ignore_errors=True)
    os.mkdir(own)
    try:
        _cpanm(step, room, mirror, [*binds, Bind(own, _SAVED)], "--save-dists", _SAVED)
        archives, provided = {}, {}
        host = f"file://{folder(step, 'mirror')}" if mirror == f"file://{_MIRROR}" else mirror
        there = digests(own)
        for line in room.ask(["perl", "-e", _METAS]).splitlines():
            meta = json.loads(line)
            path = f"{_AUTHORS}{meta['pathname']}"
            if path in there:
                archives[meta["dist"]] = Archive(there[path], f"{host}/{path}")
                provided[meta["dist"]] = {name: str(of["version"]) for name, of in sorted(meta["provides"].items())}
        return {"archives": inventory.recorded(archives, archives), "provided": provided}
    finally:
        shutil.rmtree(own)


def _by_lock(step: Step, room: Room, program: str) -> dict[str, Any]:
    """From a mirror of what the lock names."""
    assert step.lock
    if program != "cpanm":
        raise Error("the tree has no cpanm", "and the lock was written of a tree that had it")
    provided = {name: step.lock.made["provided"][name] for name in step.archives}
    with shelf(step, room, lambda archive: f"{_AUTHORS}{_place(archive)}") as shelves:
        rows = [
            f"{module} {version} {_place(step.archives[name])}\n"
            for name, modules in provided.items()
            for module, version in modules.items()
        ]
        index = os.path.join(shelves.archives, "modules/02packages.details.txt.gz")
        os.makedirs(os.path.dirname(index), exist_ok=True)
        with gzip.open(index, "wt", encoding="utf-8") as file:
            file.write(f"File: 02packages.details.txt\nLine-Count: {len(rows)}\n\n{''.join(rows)}")
        _cpanm(step, room, f"file://{LOCKED}", [shelves.bind])
    return {word: step.lock.made[word] for word in ("archives", "provided")}


def _place(archive: Archive) -> str:
    """Where a CPAN has it, below the authors' folder."""
    path = archive.source.partition(f"/{_AUTHORS}")[2]
    if not _PLACE.fullmatch(path):
        raise Error(f"{archive.source} is not of a CPAN", f"there they are below {_AUTHORS}")
    return path


def _program(room: Room) -> str:
    found = room.ask(["/bin/sh", "-c", "command -v cpanm || command -v cpan || :"]).strip().rpartition("/")[2]
    if not found:
        raise Error("the tree has neither cpanm nor cpan", hint='a step before this one: apt = ["cpanminus", "make"]')
    return found


def _by_cpan(step: Step, room: Room, mirror: str, binds: list[Bind]) -> None:
    """cpan(1), whose exit status says little: what was asked for must be there afterwards."""
    found = [_PACKAGE.fullmatch(package) for package in step.texts("packages")]
    if any(one and one["version"] for one in found):
        raise Error("cpan takes no versions", hint='cpanm does, in a step before this one: apt = ["cpanminus"]')
    settings = {
        "cpan_home": _HOME, "build_dir": f"{_HOME}/build", "keep_source_where": f"{_HOME}/sources",
        "prefs_dir": f"{_HOME}/prefs", "histfile": "", "urllist": [mirror], "pushy_https": 0,
        "prerequisites_policy": "follow", "build_requires_install_policy": "yes", "recommends_policy": 0,
        "install_help": "", "inactivity_timeout": 0, "make": "make", "makepl_arg": "INSTALLDIRS=site",
        "mbuildpl_arg": "--installdirs site", "connect_to_internet_ok": 1,
    }  # fmt: skip
    text = "".join(f"  {name} => {_perl(value)},\n" for name, value in settings.items())
    files = [(_CONFIGURATION, f"$CPAN::Config = {{\n{text}}};\n1;\n".encode())]
    argv = ["cpan", "-j", _CONFIGURATION, "-T", "-i", *step.texts("packages")]
    room.inside(argv, env=_ENV, binds=binds, files=files, what="cpan")
    missing = room.ask(["perl", "-e", _MISSING, *step.texts("packages")]).split()
    if missing:
        raise Error(f"cpan did not install {', '.join(missing)}", "though it ended with status 0; its log says why")


def _perl(value: object) -> str:
    """A constant as Perl writes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_perl, value))}]"
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"


def _listed(room: Room) -> dict[str, str]:
    return inventory.perl(room.ask(["perl", "-e", _LISTED]))
