"""debootstrap: an empty root becomes a Debian, by mmdebstrap where it is installed, else by debootstrap.

Both run among the host's programs, the tree at /target; `sandbox.tools` says what each needs there. Signatures are
checked against the keyring, except of a source that the recipe trusts. Afterwards the tree is alike whichever made it:
sources.list as the recipe says, the newest packages of those, nothing of the bootstrap's logs, lists and caches, no
resolv.conf of the host's.
"""

import hashlib
import os
from functools import partial
from typing import Any, NamedTuple

from treesmith import inventory
from treesmith.archive.layer import Layer, Meta
from treesmith.sandbox.sandbox import Bind
from treesmith.steps import apt, debs
from treesmith.steps.archives import LOCKED, keep_links, shelf, unlocked
from treesmith.steps.debian import Source, absent, architecture, archive, host_mirror, later, line, release
from treesmith.steps.inputs import Inputs, Setting, digest_of
from treesmith.steps.programs import driver
from treesmith.steps.room import Room
from treesmith.steps.schema import Option, Schema, Value
from treesmith.steps.source import keyring as keyring_of
from treesmith.steps.source import local_path, url
from treesmith.steps.step import Step

schema = Schema(
    kind="debootstrap",
    help="Debian, or one of its family, into an empty root",
    network=True,
    drivers=("mmdebstrap", "debootstrap"),
    bootstraps="only",
    options={
        "suite": Option("string", "the release: bookworm, trixie, sid, jammy", required=True),
        "mirror": Option("source", "where from; else what the machine's own apt uses, else the distribution's"),
        "variant": Option(
            "string",
            "how much: minbase is apt and what it needs",
            "minbase",
            choices=("minbase", "buildd", "important"),
        ),
        "include": Option("strings", "further packages"),
        "components": Option("strings", "parts of the archive", ("main",)),
        "updates": Option(
            "bool", "also what came out after it, in -updates and -security; of a port in unreleased", False
        ),
        "keyring": Option("source", "whose signatures are good, a file of gpg; else the distribution's"),
        "trust": Option("bool", "take the packages unsigned, or signed by anybody", False),
        "expired": Option("bool", "also lists of contents that are past their date, as a snapshot's are", False),
    },
)

_CACHE = "/var/cache/treesmith"  # in the tools' root
# mmdebstrap's: emptying the cache; asking gpg whether it needs the keyring; asking whether
# another architecture's programs run, which is known by then; /sys, which cannot be mounted beside the
# host's network; removing the lists, before we have read where packages are from.
_SKIPPED = ("essential/unlink", "check/signed-by", "check/qemu", "chroot/mount/sys", "cleanup/apt/lists")
# Links /bin and its like into /usr at once, as debootstrap does; else `usrmerge` and half of perl do it afterwards. The
# package that it makes up for that is put in place of the real one's, for which another run of apt would be needed.
_MERGED_USR = "/usr/share/mmdebstrap/hooks/maybe-merged-usr/setup00.sh"
_PREFERENCES = '"$1/etc/apt/preferences.d/99mmdebstrap"'
_MERGE = f"""set -e
{_MERGED_USR} "$1"
if dpkg --root="$1" --log=/dev/null --purge usr-is-merged; then
    printf 'Package: usrmerge\\nPin: version *\\nPin-Priority: -1\\n' >{_PREFERENCES}
fi"""
# Ubuntu's, where base-files brings the links and provides usr-is-merged, which the hook takes for a package to install.
_LINKED = ("noble", "oracular", "plucky", "questing")
_QUIET = ("/etc/apt/apt.conf.d/empty", b"")  # apt warns where there is no such folder
_REMOVED = (
    "debootstrap", "etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap", "etc/hostname",
    "etc/resolv.conf", "var/cache/apt/archives", "var/cache/apt/pkgcache.bin", "var/cache/apt/srcpkgcache.bin",
    "var/cache/ldconfig/aux-cache", "var/lib/apt/lists", "var/log/apt", "var/log/alternatives.log",
    "var/log/bootstrap.log", "var/log/dpkg.log",
)  # fmt: skip


def inputs(step: Step, setting: Setting) -> Inputs:
    if not step.lock and not step.text("mirror") and (why := absent(step.text("suite"), setting.arch)):
        raise step.error(f"no {step.text('suite')} for {setting.arch}", "suite", why, "mirror = URL, if you know one")
    mirror = mirror_of(step, setting.arch)
    facts: dict[str, Value] = {"driver": " ".join(driver(step, schema)), "mirror.used": mirror}
    if not step.is_on("trust") and not (step.lock and _is_usual(step, setting.arch)):
        facts["keyring.used"] = digest_of(_keyring(step, setting.arch))
    if step.lock:
        return Inputs(facts, pinned=True)
    local = local_path(mirror)
    if local:
        facts["mirror.lists"], *further = (release(step, source) for source in sources(step, setting.arch))
        if further:
            facts["mirror.updates"] = tuple(further)
    return Inputs(facts, pinned=bool(local))


def loose(step: Step) -> str:
    return unlocked(step)


def newer(step: Step, room: Room) -> dict[str, str]:
    return apt.newer(step, room)


def mirror_of(step: Step, arch: str) -> str:
    """A URL."""
    if step.lock:
        return str(step.lock.made["mirrors"][0])
    return url(step) if step.text("mirror") else host_mirror(step.text("suite"), arch)


def sources(step: Step, arch: str) -> list[Source]:
    """Where the tree's packages come from, one suite each; the release itself is the first."""
    if step.lock:
        made = step.lock.made
        return [Source(uri, (suite,)) for uri, suite in zip(made["mirrors"], made["suites"], strict=True)]
    mirror, suite = mirror_of(step, arch), step.text("suite")
    return [Source(mirror, (suite,)), *(later(mirror, suite) if step.is_on("updates") else ())]


def _is_usual(step: Step, arch: str) -> bool:
    """Whether the keyring is the distribution's own, which the tree's apt has and no lock has to hold."""
    return not step.text("keyring") and archive(step.text("suite"), arch).known


def _keyring(step: Step, arch: str) -> str:
    """The host's path; "": taken unsigned."""
    if step.is_on("trust"):
        return ""
    usual = archive(step.text("suite"), arch)
    return usual.keyring if step.lock and _is_usual(step, arch) else keyring_of(step, usual.keyring, usual.package)


class _From(NamedTuple):
    """What the program makes the tree of."""

    origins: list[Source]
    keyring: str  # the host's path; "": taken unsigned
    components: tuple[str, ...]
    cache: str  # the host's folder
    binds: list[Bind]


def run(step: Step, room: Room) -> dict[str, Any]:
    name, version = driver(step, schema)
    origins, keyring = sources(step, room.arch), _keyring(step, room.arch)
    room.say(f"{name} {version}: {step.text('suite')} from {origins[0].uri}")
    listed = (_by_lock if step.lock else _by_mirror)(step, room, name, origins, keyring)
    with room.root() as root:
        _tidy(step, room, root, origins, keyring)
        packages = inventory.debian(root)
    archives = {package: one.archive for package, one in listed.items()}
    return {
        "driver": f"{name} {version}",
        "mirrors": [source.uri for source in origins],
        "suites": [source.suites[0] for source in origins],
        "priorities": {package: one.priority for package, one in sorted(listed.items()) if one.priority != "optional"},
        "packages": packages,
        "archives": inventory.recorded(archives, packages),
    }


def _by_mirror(step: Step, room: Room, name: str, origins: list[Source], keyring: str) -> dict[str, debs.Listed]:
    cache = room.cache(f"debootstrap-{_trusted(origins[0].uri, keyring)}")
    folders = {local_path(source.uri) for source in origins} - {""}
    binds = [Bind(folder, folder, read_only=True) for folder in sorted(folders)]
    if keyring:
        binds.append(Bind(keyring, _inside(keyring), read_only=True))
    _bootstrap(step, room, name, _From(origins, keyring, step.texts("components"), cache, binds))
    with room.root() as root:
        packages = inventory.debian(root)
        listed = debs.listed(root, [source.uri for source in origins], packages)
    keep_links(room, cache, {debs.cached(package, packages[package]): one.archive for package, one in listed.items()})
    if name == "debootstrap" and len(origins) > 1:  # it knows of one suite only
        with room.root() as root:
            _tidy(step, room, root, origins, keyring)
        newer = apt.carry_out(step, room, ["dist-upgrade"], folders)
        listed |= {package: debs.Listed(archive, "optional") for package, archive in newer.items()}
    return listed


def _by_lock(step: Step, room: Room, name: str, origins: list[Source], keyring: str) -> dict[str, debs.Listed]:
    """From a repository of what the lock names, each verified by its digest."""
    assert step.lock
    priorities = {package: str(word) for package, word in step.lock.made.get("priorities", {}).items()}
    suite = step.text("suite")
    with shelf(step, room, debs.called) as shelves:
        debs.repository(shelves, partial(room.outside, mounts=True), suite, room.arch, priorities)
        local = Source(f"file://{LOCKED}", (suite,))
        _bootstrap(step, room, name, _From([local], "", ("main",), shelves.own, [shelves.bind]))
    return {
        package: debs.Listed(archive, priorities.get(package, "optional")) for package, archive in step.archives.items()
    }


def _bootstrap(step: Step, room: Room, name: str, what: _From) -> None:
    binds = [Bind(what.cache, _CACHE), *what.binds]
    if name == "mmdebstrap":
        room.outside(_mmdebstrap(step, room, what), binds=binds, files=[_QUIET], mounts=True, what=name)
    else:
        env = {"container": "lxc"}  # else it tries mknod, which no user namespace allows
        room.outside(_debootstrap(step, room, what), binds=binds, files=[_QUIET], env=env, what=name)


def _trusted(mirror: str, keyring: str) -> str:
    """Who is trusted alike: packages' scripts can write to mmdebstrap's cache, and it believes what is in it."""
    return hashlib.sha256(f"{mirror}\n{digest_of(keyring) if keyring else ''}".encode()).hexdigest()[:16]


def _inside(keyring: str) -> str:
    """Where the keyring is among the tools, as a path that needs no quoting."""
    return f"/run/keyring{os.path.splitext(keyring)[1]}"


def _debootstrap(step: Step, room: Room, what: _From) -> list[str]:
    argv = ["debootstrap", f"--arch={architecture(room.arch)}", f"--components={','.join(what.components)}"]
    argv.append(f"--cache-dir={_CACHE}")
    if step.text("variant") != "important":  # which is what it does without being told
        argv.append(f"--variant={step.text('variant')}")
    if step.texts("include"):
        argv.append(f"--include={','.join(step.texts('include'))}")
    argv += ["--force-check-gpg", f"--keyring={_inside(what.keyring)}"] if what.keyring else ["--no-check-gpg"]
    return [*argv, step.text("suite"), "/target", what.origins[0].uri]


def _mmdebstrap(step: Step, room: Room, what: _From) -> list[str]:
    """The cache is mounted over the tree's by hooks: the tree must be empty when mmdebstrap begins. The lists are
    copied, and back before any package's script runs; apt asks the mirror whether they are the newest.
    """
    archives, lists, kept = '"$1/var/cache/apt/archives"', '"$1/var/lib/apt/lists"', f"{_CACHE}/lists"
    argv = ["mmdebstrap", "--mode=root", "--format=directory", "--verbose"]
    argv += [f"--architectures={architecture(room.arch)}", f"--variant={step.text('variant')}"]
    argv.append(f"--skip={','.join(_SKIPPED)}")
    argv.append(f"--setup-hook=mkdir -p {kept} && cp -a {kept}/. {lists}")
    if os.path.exists(_MERGED_USR) and step.text("suite") not in _LINKED:  # where apt asks for the lists
        argv += [f"--setup-hook={_MERGE}", f"--essential-hook=rm -f {_PREFERENCES}"]
    argv += [
        f"--setup-hook=mkdir -p {archives} && mount --bind {_CACHE} {archives}",
        f"--extract-hook=cp -a {lists}/. {kept}",
        f"--customize-hook=umount {archives}",
    ]
    argv += ['--aptopt=APT::Sandbox::User "root"', '--aptopt=Acquire::Retries "3"']
    # apt is "important" and in no variant for itself; debootstrap takes it along.
    argv.append(f"--include={','.join(('apt', *step.texts('include')))}")
    # mmdebstrap's own hooks for file:// leave a mount behind when they fail; copy:// needs none.
    options = [f"signed-by={_inside(what.keyring)}" if what.keyring else "trusted=yes", *_expired(step)]
    lines = [line(source, what.components, options) for source in what.origins]
    return [*argv, step.text("suite"), "/target", *(text.replace(" file://", " copy://") for text in lines)]


def _expired(step: Step) -> list[str]:
    return ["check-valid-until=no"] if step.is_on("expired") else []


def _tidy(step: Step, room: Room, root: int, origins: list[Source], keyring: str) -> None:
    with Layer(root) as layer:
        for path in _REMOVED:
            layer.remove(path)
        for path in ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial"):
            layer.folder(path, Meta(0o755))
        options = _expired(step)
        usual = archive(step.text("suite"), room.arch)
        if not keyring:
            options.append("trusted=yes")
        elif not (usual.known and keyring == usual.keyring):
            kept = f"/etc/apt/keyrings/{os.path.basename(keyring)}"
            with open(keyring, "rb") as file:
                layer.file(kept, file, Meta(0o644))
            options.append(f"signed-by={kept}")
        lines = [line(source, step.texts("components"), options) for source in origins]
        layer.text("etc/apt/sources.list", "\n".join([*lines, ""]))
