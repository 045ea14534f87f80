"""cpan: Perl modules among the tree's own, by its cpanm or, where it has none, its cpan. Their tests are not run.

Both build in folders that end with the step, as do their downloads: neither holds them against anything but what the
mirror itself says.
"""

import re
from typing import Any

from treesmith import inventory
from treesmith.errors import Error
from treesmith.sandbox.sandbox import Bind
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
_PACKAGE = re.compile(r"(?P<module>[A-Za-z_]\w*(?:::\w+)*)(?P<version>[@~].+)?", re.ASCII)
_LISTED = """
use ExtUtils::Installed;
my $all = ExtUtils::Installed->new;
print "$_ ", $all->version($_) || "?", "\\n" for grep { $_ ne "Perl" } $all->modules;
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


def run(step: Step, room: Room) -> dict[str, Any]:
    if not step.texts("packages"):
        return {"packages": {}}
    program = _program(room)
    path = folder(step, "mirror")
    mirror = f"file://{_MIRROR}" if path else step.text("mirror") or _USUAL
    binds = [Bind(path, _MIRROR, read_only=True)] if path else []
    before = _listed(room)
    if program == "cpanm":
        argv = ["cpanm", "--notest", "--verbose", "--mirror", mirror, "--mirror-only", *step.texts("packages")]
        room.inside(argv, env=_ENV, binds=binds, what="cpanm")
    else:
        _by_cpan(step, room, mirror, binds)
    return {"program": program, "packages": inventory.added(before, _listed(room))}


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
