"""debootstrap: an empty root becomes a Debian, by mmdebstrap where it is installed, else by debootstrap.

Both run among the host's programs, the tree at /target; `sandbox.tools` says what each needs there. Signatures are
checked against the keyring, except of a source that the recipe trusts. Afterwards the tree is alike whichever made it:
sources.list as the recipe says, the newest packages of those, nothing of the bootstrap's logs, lists and caches, no
resolv.conf of the host's.
"""

import hashlib
import os
from typing import Any

from treesmith import inventory
from treesmith.archive.layer import Layer, Meta
from treesmith.sandbox.sandbox import Bind
from treesmith.steps import apt
from treesmith.steps.debian import KEYRING, Source, architecture, host_mirror, later
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
        "suite": Option("string", "the release: bookworm, trixie, sid", required=True),
        "mirror": Option("source", "where from; else what the machine's own apt uses, else deb.debian.org"),
        "variant": Option(
            "string",
            "how much: minbase is apt and what it needs",
            "minbase",
            choices=("minbase", "buildd", "important"),
        ),
        "include": Option("strings", "further packages"),
        "components": Option("strings", "parts of the archive", ("main",)),
        "updates": Option("bool", "also what came out after the release: its -updates and -security", False),
        "keyring": Option("source", "whose signatures are good, a file of gpg; else the distribution's"),
        "trust": Option("bool", "take the packages unsigned, or signed by anybody", False),
    },
)

_CACHE = "/var/cache/treesmith"  # in the tools' root
# mmdebstrap's: emptying the cache; asking gpg whether it needs the keyring; /sys, which cannot be mounted beside the
# host's network.
_SKIPPED = ("essential/unlink", "check/signed-by", "chroot/mount/sys")
# Links /bin and its like into /usr at once, as debootstrap does; else `usrmerge` and half of perl do it afterwards.
_MERGED_USR = "/usr/share/mmdebstrap/hooks/maybe-merged-usr"
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
    mirror = mirror_of(step)
    facts: dict[str, Value] = {"driver": " ".join(driver(step, schema)), "mirror.used": mirror}
    if not step.is_on("trust"):
        facts["keyring.used"] = digest_of(_keyring(step))
    local = local_path(mirror)
    if local:
        release, *further = (_release(step, source) for source in sources(step))
        facts["mirror.release"] = release
        if further:
            facts["mirror.updates"] = tuple(further)
    return Inputs(facts, pinned=bool(local))


def mirror_of(step: Step) -> str:
    """A URL."""
    return url(step) if step.text("mirror") else host_mirror(step.text("suite"))


def sources(step: Step) -> list[Source]:
    """Where the tree's packages come from, one suite each; the release itself is the first."""
    mirror, suite = mirror_of(step), step.text("suite")
    return [Source(mirror, (suite,)), *(later(mirror, suite) if step.is_on("updates") else ())]


def _release(step: Step, source: Source) -> str:
    """A folder's state is that of its signed list of contents."""
    folder = os.path.join(local_path(source.uri), "dists", source.suites[0])
    for name in ("InRelease", "Release"):
        if os.path.isfile(os.path.join(folder, name)):
            return digest_of(os.path.join(folder, name))
    raise step.error(
        f"no suite {source.suites[0]} in {source.uri}", "mirror", f"{folder} holds no InRelease and no Release"
    )


def _keyring(step: Step) -> str:
    return keyring_of(step, KEYRING, "debian-archive-keyring")


def run(step: Step, room: Room) -> dict[str, Any]:
    name, version = driver(step, schema)
    mirror, origins = mirror_of(step), sources(step)
    keyring = "" if step.is_on("trust") else _keyring(step)
    folders = {local_path(source.uri) for source in origins} - {""}
    binds = [Bind(room.cache(f"debootstrap-{_trusted(mirror, keyring)}"), _CACHE)]
    binds += [Bind(folder, folder, read_only=True) for folder in sorted(folders)]
    if keyring:
        binds.append(Bind(keyring, _inside(keyring), read_only=True))
    room.say(f"{name} {version}: {step.text('suite')} from {mirror}")
    if name == "mmdebstrap":
        argv = _mmdebstrap(step, room, origins, keyring)
        room.outside(argv, binds=binds, files=[_QUIET], mounts=True, what=name)
    else:
        # Else it tries mknod, which no user namespace allows.
        env = {"container": "lxc"}
        room.outside(_debootstrap(step, room, mirror, keyring), binds=binds, files=[_QUIET], env=env, what=name)
        if len(origins) > 1:  # it knows of one suite only
            with room.root() as root:
                _tidy(step, root, origins, keyring)
            apt.carry_out(step, room, ["dist-upgrade"], folders)
    with room.root() as root:
        _tidy(step, root, origins, keyring)
        packages = inventory.debian(root)
    return {"driver": f"{name} {version}", "mirrors": [source.uri for source in origins], "packages": packages}


def _trusted(mirror: str, keyring: str) -> str:
    """Who is trusted alike: packages' scripts can write to mmdebstrap's cache, and it believes what is in it."""
    return hashlib.sha256(f"{mirror}\n{digest_of(keyring) if keyring else ''}".encode()).hexdigest()[:16]


def _inside(keyring: str) -> str:
    """Where the keyring is among the tools, as a path that needs no quoting."""
    return f"/run/keyring{os.path.splitext(keyring)[1]}"


def _debootstrap(step: Step, room: Room, mirror: str, keyring: str) -> list[str]:
    argv = ["debootstrap", f"--arch={architecture(room.arch)}", f"--components={','.join(step.texts('components'))}"]
    argv.append(f"--cache-dir={_CACHE}")
    if step.text("variant") != "important":  # which is what it does without being told
        argv.append(f"--variant={step.text('variant')}")
    if step.texts("include"):
        argv.append(f"--include={','.join(step.texts('include'))}")
    argv += ["--force-check-gpg", f"--keyring={_inside(keyring)}"] if keyring else ["--no-check-gpg"]
    return [*argv, step.text("suite"), "/target", mirror]


def _mmdebstrap(step: Step, room: Room, origins: list[Source], keyring: str) -> list[str]:
    """The cache is mounted over the tree's by hooks: the tree must be empty when mmdebstrap begins."""
    archives = '"$1/var/cache/apt/archives"'
    argv = ["mmdebstrap", "--mode=root", "--format=directory", "--verbose"]
    argv += [f"--architectures={architecture(room.arch)}", f"--variant={step.text('variant')}"]
    argv.append(f"--skip={','.join(_SKIPPED)}")
    if os.path.isdir(_MERGED_USR) and step.text("suite") not in _LINKED:
        argv.append(f"--hook-dir={_MERGED_USR}")
    argv += [
        f"--setup-hook=mkdir -p {archives} && mount --bind {_CACHE} {archives}",
        f"--customize-hook=umount {archives}",
    ]
    argv += ['--aptopt=APT::Sandbox::User "root"', '--aptopt=Acquire::Retries "3"']
    # apt is "important" and in no variant for itself; debootstrap takes it along.
    argv.append(f"--include={','.join(('apt', *step.texts('include')))}")
    # mmdebstrap's own hooks for file:// leave a mount behind when they fail; copy:// needs none.
    option = f"signed-by={_inside(keyring)}" if keyring else "trusted=yes"
    lines = [line.replace(" file://", " copy://") for line in _lines(step, origins, f"[{option}] ")]
    return [*argv, step.text("suite"), "/target", *lines]


def _lines(step: Step, origins: list[Source], option: str) -> list[str]:
    """sources.list(5)"""
    parts = " ".join(step.texts("components"))
    return [f"deb {option}{source.uri} {source.suites[0]} {parts}" for source in origins]


def _tidy(step: Step, root: int, origins: list[Source], keyring: str) -> None:
    with Layer(root) as layer:
        for path in _REMOVED:
            layer.remove(path)
        for path in ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial"):
            layer.folder(path, Meta(0o755))
        option = ""
        if not keyring:
            option = "[trusted=yes] "
        elif keyring != KEYRING:  # which the tree's apt trusts already
            kept = f"/etc/apt/keyrings/{os.path.basename(keyring)}"
            with open(keyring, "rb") as file:
                layer.file(kept, file, Meta(0o644))
            option = f"[signed-by={kept}] "
        layer.text("etc/apt/sources.list", "\n".join([*_lines(step, origins, option), ""]))
