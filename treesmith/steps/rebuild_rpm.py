"""A source package of rpm's family, a .src.rpm, built anew and installed: see `package`.

By the tree's own rpmbuild; the host's dnf brings what it takes, into the throw-away copy, and installs what was built
from a repository of just that, which the copy's createrepo_c makes. Times in it are at most those of the source
package, and the machine is called localhost, so that a locked step makes the same.
"""

import os
import shutil
from collections.abc import Container, Sequence
from typing import Any, NamedTuple

from treesmith import inventory
from treesmith.errors import Error
from treesmith.sandbox.sandbox import Bind
from treesmith.steps import dnf, rpm
from treesmith.steps.archives import Shelf, shelf, unlocked
from treesmith.steps.bench import BUILT, HOME, NOBODY, chosen, collect, furnish, jobs
from treesmith.steps.dnf import Built, Dnf
from treesmith.steps.inputs import Inputs, Setting, digest_of, file_facts, host_path, verified
from treesmith.steps.programs import driver
from treesmith.steps.room import PASSING, Room
from treesmith.steps.source import is_pinned, keys
from treesmith.steps.step import Step

_TOOLS = ("rpm-build", "createrepo_c")
_SOURCE = f"{PASSING}/source"
_KEY = f"{PASSING}/key.asc"
_OF_DPKG = ("patches", "profiles", "options")
_QUERY = ("rpm", "-qp", "--nosignature", "--queryformat")
_ASKED = r"%{NAME}\n%{EVR}\n%{BUILDTIME}\n[%{REQUIRENEVRS}\n]"
_ROUNDS = 9
_FOUND = f"{HOME}/SRPMS/*.buildreqs.nosrc.rpm"
# 11, and such a file: its %generate_buildrequires named something that is not there.
_TRY = f'rm -rf {HOME}/SRPMS; "$@" || {{ [ $? = 11 ] && [ -e {_FOUND} ]; }}'
_CONDITIONS = (" if ", " unless ")
_MACROS = {
    "_topdir": HOME,
    "_dbpath": f"/{rpm.DATABASE}",
    "_buildhost": "localhost",
    "use_source_date_epoch_as_buildtime": "1",
    "clamp_mtime_to_source_date_epoch": "1",
    "build_mtime_policy": "clamp_to_source_date_epoch",  # what rpm since 4.20 calls it
}
_VERIFY = f"""
rpmkeys --dbpath {_SOURCE}/keys --import {_KEY}
exec rpmkeys --dbpath {_SOURCE}/keys --define "_pkgverify_level all" --checksig "$1"
"""


class _Place(NamedTuple):
    """Where a step works, on the host."""

    cache: str  # dnf's, of this recipe alone: the scripts of what it builds could write to it
    own: str
    shelves: Shelf  # the archives of the lock

    @property
    def source(self) -> str:
        return os.path.join(self.own, "source")

    @property
    def built(self) -> str:
        return os.path.join(self.own, "built")


class _Head(NamedTuple):
    """Of a source package."""

    name: str
    version: str
    time: str  # when it was made, in unix seconds


class _Package(NamedTuple):
    file: str
    name: str  # NAME.ARCH
    version: str

    @property
    def chosen(self) -> str:
        """As dnf takes it."""
        name, _, arch = self.name.rpartition(".")
        return f"{name}-{self.version}.{arch}"


def inputs(step: Step, setting: Setting) -> Inputs:
    if wrong := next((option for option in _OF_DPKG if step.texts(option)), ""):
        raise step.error(f"{wrong} are of Debian's source packages, and {step.text('file')} is rpm's", wrong)
    path = host_path(step, "file")
    if not os.path.isfile(path):
        raise step.error(f"{step.text('file')} is no file", "file")
    facts = file_facts(path, f"file {step.text('file')}")
    return Inputs({**facts, "driver": " ".join(driver(step, dnf.schema))}, is_pinned(facts, setting))


def loose(step: Step) -> str:
    assert step.lock
    return unlocked(step, step.lock.made.get("built", {}), step.lock.made.get("needs", {}))


def newer(step: Step, room: Room) -> dict[str, str]:
    return dnf.newer(step, room)


def run(step: Step, room: Room) -> dict[str, Any]:
    found = rpm.sources(step, room)
    cache = room.cache(f"dnf-{found.digest}-{step.recipe_digest}")
    with shelf(step, room) as shelves:
        place = _Place(cache, shelves.own, shelves)
        for folder in (place.source, place.built):
            os.mkdir(folder)
        return _rebuild(step, room, found, place)


def _rebuild(step: Step, room: Room, found: rpm.Sources, place: _Place) -> dict[str, Any]:
    digest = _take(step, room, place)
    with room.aside() as bench:
        tool = Dnf(step, bench, found, place.cache)
        before = tool.installed()  # this leaves what nobody must find to read the database: rpmdb.sqlite-shm
        head = _furnish(step, bench, tool, place)
        _make(step, bench, tool, place, head)
        needs = inventory.added(before, tool.installed())
        listed = _collect(bench, place)
    there = {package.name.rpartition(".")[0]: package for package in listed}
    wanted = [there[name] for name in chosen(step, head.name, head.version, there)]
    tool = Dnf(step, room, found, place.cache, Built(Bind(place.built, BUILT, read_only=True), list(there)))
    before = tool.installed()
    same = [package for package in wanted if before.get(package.name) == package.version]
    new = [package.chosen for package in wanted if package not in same]
    if step.lock:
        tool.vouch()
        new += _locked(step, set(step.lock.made.get("packages", {})) - set(step.lock.made.get("built", {})))
    tool.do("install", new, [place.shelves.bind])
    tool.do("reinstall", [package.chosen for package in same])
    after = tool.installed()
    rpm.tidy(room, dnf.RUBBISH)
    packages = inventory.added(before, after)
    ours = {each.name: each for each in listed if packages.get(each.name) == each.version or each in same}
    packages |= {name: package.version for name, package in ours.items()}
    fetched = {name: version for name, version in packages.items() if name not in ours} | needs
    archives = step.archives if step.lock else tool.archives(fetched)
    return {
        "package": {"name": head.name, "version": head.version, "digest": digest},
        "built": {name: f"sha256:{ours[name].file.removesuffix('.rpm')}" for name in sorted(ours)},
        "packages": dict(sorted(packages.items())),
        "needs": needs,
        "archives": inventory.recorded(archives, archives),
    }


def _take(step: Step, room: Room, place: _Place) -> str:
    """The source package, verified. Returns its digest."""
    digest = verified(step, "file")
    name = os.path.basename(step.text("file"))
    path = shutil.copy(host_path(step, "file"), os.path.join(place.source, name))
    if step.text("keyring"):
        os.mkdir(os.path.join(place.source, "keys"))
        argv = ["/bin/sh", "-e", "-c", _VERIFY, "sh", f"{_SOURCE}/{name}"]
        binds, files = [Bind(place.source, _SOURCE)], [(_KEY, keys(step))]
        room.outside(argv, binds=binds, files=files, env=rpm.ENV, what=f"rpmkeys --checksig {name}")
        shutil.rmtree(os.path.join(place.source, "keys"))
    if digest_of(path) != digest:
        raise Error(f"{step.text('file')} changed while it was read", hint="build again")
    return f"sha256:{digest}"


def _furnish(step: Step, bench: Room, tool: Dnf, place: _Place) -> _Head:
    """What building takes. Returns what of."""
    if step.lock:
        tool.vouch()
        tool.do("install", _locked(step, step.lock.made.get("needs", {})), [place.shelves.bind])
    else:
        tool.do("install", _TOOLS)
    name, version, time, *needs = _asked(bench, place, f"{_SOURCE}/{os.path.basename(step.text('file'))}")
    bench.say(f"{name} {version}")
    if not step.lock:
        _bring(bench, tool, needs)
    return _Head(name, version, time)


def _asked(bench: Room, place: _Place, file: str) -> list[str]:
    said = bench.ask([*_QUERY, _ASKED, file], binds=[Bind(place.source, _SOURCE, read_only=True)])
    return [line for line in said.splitlines() if line and not line.startswith("rpmlib(")]


def _bring(bench: Room, tool: Dnf, needs: Sequence[str]) -> None:
    """What a source package says that it takes. dnf knows no conditions; where one is not met, rpmbuild says so."""
    tool.do("install", [_need(need) for need in needs if not any(word in need for word in _CONDITIONS)])


def _need(need: str) -> str:
    """Error: dnf would take it for something else."""
    if need[0] in "-@!~" or "://" in need or need.endswith(".rpm"):
        raise Error(f"{need!r} is no package's name", "though the source package says that building takes it")
    return need


def _locked(step: Step, packages: Container[str]) -> list[str]:
    """Where the archives of the lock are that are among those packages."""
    return dnf.at(archive.file for name, archive in step.archives.items() if name in packages)


def _make(step: Step, bench: Room, tool: Dnf, place: _Place, head: _Head) -> None:
    """Let it be built; where it finds out only then what more that takes, with that, once more."""
    furnish(bench)
    known: list[str] = []
    for _ in range(0 if step.lock else _ROUNDS):
        _run(step, bench, place, head, _TRY)
        file = bench.ask(["/bin/sh", "-c", f"echo {_FOUND}"]).strip()
        if file == _FOUND:
            return
        _, _, _, *needs = _asked(bench, place, file)
        if needs == known:
            break
        _bring(bench, tool, needs)
        known = needs
    _run(step, bench, place, head, 'exec "$@"')


def _run(step: Step, bench: Room, place: _Place, head: _Head, how: str) -> None:
    macros = {**_MACROS, "_smp_build_ncpus": str(jobs(step))}
    defines = [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]
    name = os.path.basename(step.text("file"))
    env = {"HOME": "/nonexistent"}
    argv = ["env", f"SOURCE_DATE_EPOCH={head.time}", "rpmbuild", *defines, "--rebuild", f"{_SOURCE}/{name}"]
    bench.inside(
        ["/bin/sh", "-c", how, "sh", *argv], env=env, binds=[Bind(place.source, _SOURCE, read_only=True)],
        user=f"{NOBODY}:{NOBODY}", chdir=HOME, alone=True, what=f"rpmbuild --rebuild {name}",
    )  # fmt: skip


def _collect(bench: Room, place: _Place) -> list[_Package]:
    """The packages, by their digests, as a repository."""
    bind = Bind(place.built, BUILT)
    collect(bench, "RPMS/*/*.rpm", place.built)
    files = sorted(os.listdir(place.built))
    said = bench.ask([*_QUERY, r"%{NAME}.%{ARCH} %{EVR}\n", *(f"{BUILT}/{name}" for name in files)], binds=[bind])
    bench.inside(["createrepo_c", "--quiet", BUILT], binds=[bind], alone=True, what="createrepo_c")
    return [_Package(file, *line.split(" ")) for file, line in zip(files, said.splitlines(), strict=True)]
