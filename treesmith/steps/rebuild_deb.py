"""A source package of Debian's family, changed where that is wanted, built anew and installed: see `package`.

It is built as sbuild does it, by dpkg-buildpackage, and installed by the tree's own apt. What apt fetches is in a
signed list. Of a .dsc beside the recipe the files must be what it says, and it must be signed where the step names a
keyring.
"""

import io
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from treesmith import inventory
from treesmith.archive.layer import Layer, Meta
from treesmith.archive.read import read
from treesmith.errors import Error
from treesmith.inventory import Archive
from treesmith.linux.file import open_inside
from treesmith.sandbox.sandbox import Bind
from treesmith.steps import apt, aptget, debs, dsc, lay
from treesmith.steps.aptget import LOCKED_SUITE, OWN, AptGet
from treesmith.steps.archives import Shelf, shelf, unlocked
from treesmith.steps.bench import BUILT, HOME, NOBODY, chosen, collect, furnish, jobs
from treesmith.steps.debian import with_sources
from treesmith.steps.inputs import Inputs, Setting, digest_of, file_facts, host_path, verified
from treesmith.steps.pool import Wanted, keep, lend
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Value
from treesmith.steps.source import keys
from treesmith.steps.step import Step

_ELSE = 'file = "NAME.src.rpm" is for a tree that dnf or zypper made'
_TOOLS = ("build-essential", "fakeroot")
_SOURCE = f"{HOME}/source"
_SUITE = "treesmith"
_KEYRING = f"{PASSING}/keyring.gpg"


class _Place(NamedTuple):
    """Where a step works, on the host, and what its apt reaches."""

    own: str
    binds: Sequence[Bind]
    kept: str  # the archives of the lock; "": there is none

    @property
    def bench(self) -> str:
        """For apt on the throw-away copy: packages' scripts, run there by root, could change what is in it."""
        return os.path.join(self.own, "bench")

    @property
    def sources(self) -> str:
        return os.path.join(self.bench, "sources")


def inputs(step: Step, setting: Setting) -> Inputs:
    facts: dict[str, Value] = {}
    for name in _files(step):
        facts |= file_facts(host_path(step, "file", name), f"file {name}")
    return Inputs(facts, apt.are_folders(facts, setting))


def _files(step: Step) -> list[str]:
    """The host paths that the source is of, relative to the recipe's folder."""
    name = step.text("file").rstrip("/")
    if not name:
        return []
    path = host_path(step, "file")
    if os.path.isfile(path) and name.endswith(".dsc"):
        with open(path, encoding="utf-8", errors="replace") as file:
            try:
                return [name, *(os.path.join(os.path.dirname(name), other) for other in dsc.files(file.read()))]
            except Error as error:
                raise step.error(f"{name}: {error.brief}", "file", error.details) from None
    if not os.path.isfile(f"{path}/debian/control"):
        raise step.error(f"{name} is neither a .dsc nor a .src.rpm nor a folder with debian/control", "file")
    lay.check(step, "file", path)
    return [name]


def loose(step: Step) -> str:
    assert step.lock
    if step.text("source") and not any(name.endswith(".dsc") for name in step.archives):
        return f"where it got the source of {step.text('source')} is not known"
    return unlocked(step, step.lock.made.get("built", {}))


def newer(step: Step, room: Room) -> dict[str, str]:
    return apt.newer(step, room)


def run(step: Step, room: Room) -> dict[str, Any]:
    with room.root() as root:
        before = inventory.debian(root)
    if not before:
        what = f"{step.text('source') or step.text('file')} is dpkg's; of a tree's own sources only apt is asked"
        raise Error("the tree has no dpkg", what, _ELSE)
    if not step.lock:
        with apt.folder(room) as own:
            return _rebuild(step, room, _Place(own, apt.binds(apt.folders(room)), ""), before)
    with shelf(step, room, _called) as shelves:
        debs.repository(shelves, room.inside, LOCKED_SUITE, room.arch)
        return _rebuild(step, room, _Place(shelves.own, [shelves.bind], shelves.archives), before)


def _called(archive: Archive) -> str:
    """What a .dsc names must be called so."""
    return debs.called(archive) if archive.file.endswith(".deb") else archive.file


def _rebuild(step: Step, room: Room, place: _Place, before: Mapping[str, str]) -> dict[str, Any]:
    built = Shelf(os.path.join(place.own, "built"), os.path.join(place.own, "listed"), BUILT)
    for folder in (place.sources, built.archives, built.own):
        os.makedirs(folder)
    with room.aside() as bench:
        head, digest, archives = _build(step, bench, place, built)
        listed = debs.repository(built, bench.inside, _SUITE, room.arch)
    there = {fields["package"]: fields for fields in listed}
    wanted = chosen(step, head.name, head.version, there)
    own = os.path.join(place.own, "tree")
    os.mkdir(own)
    tool = AptGet(step, room, own, [*place.binds, built.bind], (BUILT, _SUITE))
    tool.inside(["update"])
    request = [f"{name}={there[name]['version']}" for name in wanted]
    fetched = tool.get(["install", "--reinstall", "--allow-downgrades", *request], apt.pool(room))
    archives |= aptget.packages([file for file in fetched if not file.source.startswith(f"file://{PASSING}")])
    with room.root() as root:
        after = inventory.debian(root)
    ours = {f"{fields['package']}:{fields['architecture']}": fields for fields in listed}
    ours = {name: fields for name, fields in ours.items() if after.get(name) == fields["version"]}
    packages = inventory.added(before, after) | {name: fields["version"] for name, fields in ours.items()}
    held = step.archives if step.lock else archives
    return {
        "package": {"name": head.name, "version": head.version, "digest": digest},
        "built": {name: f"sha256:{fields['filename'].removesuffix('.deb')}" for name, fields in sorted(ours.items())},
        "packages": dict(sorted(packages.items())),
        "archives": inventory.recorded(held, held),
    }


def _build(step: Step, bench: Room, place: _Place, built: Shelf) -> tuple[dsc.Head, str, dict[str, Archive]]:
    """The packages, into `built`. Returns what of, its .dsc's digest, and what was fetched for it."""
    tool = AptGet(step, bench, place.bench, place.binds)
    if step.text("source"):
        with bench.root() as root:
            _name_sources(root)
    tool.inside(["update"])
    fetched = tool.get(["install", *_TOOLS, *(["gpgv"] if step.text("keyring") else [])], apt.pool(bench))
    furnish(bench)
    sources, digest = _unpack(step, bench, place, tool)
    for patch in step.texts("patches"):
        _patch(step, bench, patch)
    head = _dated(step, bench)
    bench.say(f"{head.name} {head.version}")
    profiles = ",".join(step.texts("profiles"))
    request = ["build-dep", *([f"--build-profiles={profiles}"] if profiles else []), _SOURCE]
    fetched += tool.get(request, apt.pool(bench))
    _make(step, bench)
    collect(bench, "*.deb", built.archives)
    archives = {file.name: Archive(f"sha256:{file.digest}", file.source) for file in sources}
    return head, digest, aptget.packages(fetched) | archives


def _name_sources(root: int) -> None:
    """Let apt know the source packages of all that it knows the packages of."""
    folder = "etc/apt/sources.list.d"
    paths = ["etc/apt/sources.list"]
    try:
        fd = open_inside(root, folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        pass
    else:
        paths += [f"{folder}/{name}" for name in sorted(os.listdir(fd)) if name.endswith((".list", ".sources"))]
        os.close(fd)
    with Layer(root) as layer:
        for path in paths:
            old = read(root, path).decode(errors="surrogateescape")
            new = with_sources(old, path.endswith(".sources"))
            layer.file(path, io.BytesIO(new.encode(errors="surrogateescape")), Meta(0o644))


def _unpack(step: Step, bench: Room, place: _Place, tool: AptGet) -> tuple[list[Wanted], str]:
    """The source, nobody's. Returns what apt fetched of it, and the .dsc's digest, or ""."""
    if step.text("file") and not step.text("file").endswith(".dsc"):
        with bench.root() as root:
            lay.lay(host_path(step, "file"), root, _SOURCE, NOBODY)
        return [], ""
    fetched: list[Wanted] = []
    if step.text("file"):
        if step.text("sha256"):
            verified(step, "file")
        for name in _files(step):
            shutil.copy(host_path(step, "file", name), place.sources)
    elif step.lock:
        for archive in step.archives.values():
            if not archive.file.endswith(".deb"):
                shutil.copy(os.path.join(place.kept, archive.file), place.sources)
    else:
        request = ["source", "--download-only", step.text("source")]
        fetched = tool.fetches(request)
        lend(apt.pool(bench), fetched, place.sources)
        tool.inside(request, chdir=f"{OWN}/sources")
    (name,) = (name for name in os.listdir(place.sources) if name.endswith(".dsc"))
    path = f"{OWN}/sources/{name}"
    binds = [Bind(place.bench, OWN, read_only=True), *place.binds]  # of a folder apt gives links
    if step.text("keyring"):
        files = [(_KEYRING, dsc.dearmored(keys(step)))]
        bench.inside(["gpgv", "--keyring", _KEYRING, path], binds=binds, files=files, what=f"gpgv {name}", alone=True)
    extract = ["dpkg-source", "--extract", path, _SOURCE]
    bench.inside(extract, binds=binds, user="nobody", alone=True, what=f"dpkg-source --extract {name}")
    digest = next((file.digest for file in fetched if file.name == name), "")
    digest = digest or digest_of(os.path.join(place.sources, name))
    keep(apt.pool(bench), fetched, place.sources)
    return fetched, f"sha256:{digest}"


def _patch(step: Step, bench: Room, patch: str) -> None:
    with open(host_path(step, "patches", patch), "rb") as file:
        files = [(f"{PASSING}/patch", file.read())]
    argv = ["patch", "--strip=1", "--forward", "--batch", "--no-backup-if-mismatch", f"--input={PASSING}/patch"]
    bench.inside(argv, files=files, user="nobody", chdir=_SOURCE, alone=True, what=f"patch {patch}")


def _dated(step: Step, bench: Room) -> dsc.Head:
    """What the source is, by its changelog. One of the tree's sources gets a version of its own, or apt would take
    theirs and ours for the same.
    """
    path = f"{_SOURCE}/debian/changelog"
    with bench.root() as root:
        text = read(root, path).decode(errors="surrogateescape")
        if step.text("source"):
            text = dsc.anew(text, step.text("suffix"), ["built anew", *step.texts("patches")])
            with Layer(root) as layer:
                layer.file(path, io.BytesIO(text.encode(errors="surrogateescape")), Meta(0o644, NOBODY, NOBODY))
    return dsc.head(text)


def _make(step: Step, bench: Room) -> None:
    env = {
        "DEB_BUILD_OPTIONS": " ".join((*step.texts("options"), f"parallel={jobs(step)}")),
        "DEB_BUILD_PROFILES": " ".join(step.texts("profiles")),
        "HOME": "/nonexistent",
    }
    # Its time is the changelog's, so that a locked step makes the same.
    argv = ["env", "--unset=SOURCE_DATE_EPOCH", "dpkg-buildpackage", "--build=binary", "--no-sign"]
    bench.inside(argv, env=env, user="nobody", chdir=_SOURCE, alone=True, what="dpkg-buildpackage")
