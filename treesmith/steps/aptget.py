"""The tree's own apt-get: in a folder of the host's, fed from the pool, asking nothing and starting nothing."""

import os
from collections.abc import Sequence

from treesmith import inventory
from treesmith.archive.read import read
from treesmith.errors import Error
from treesmith.inventory import Archive
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.archives import LOCKED
from treesmith.steps.network import outfit
from treesmith.steps.pool import Wanted, keep, lend, wanted
from treesmith.steps.room import PASSING, Room
from treesmith.steps.step import Step

OWN = f"{PASSING}/apt"  # where its folder is inside
LOCKED_SUITE = "locked"

_CONFIGURATION = f"{PASSING}/apt.conf"
_LISTED = "/etc/apt/sources.list"
_PINNED = "/etc/apt/preferences.d/00treesmith"
_SOURCES = f"{PASSING}/sources.list"
_PREFERENCES = f"{PASSING}/preferences"
# Nothing but the lock says which version it is: no source of the tree's, and none of its preferences.
_LOCKED = [
    f'Dir::Etc::sourcelist "{_SOURCES}";',
    'Dir::Etc::sourceparts "/dev/null";',
    f'Dir::Etc::preferences "{_PREFERENCES}";',
    'Dir::Etc::preferencesparts "/dev/null";',
]
# Asked before a service is started, by invoke-rc.d(8) and deb-systemd-invoke(1): never.
_POLICY = ("/usr/sbin/policy-rc.d", b"#!/bin/sh\nexit 101\n")
# The sandbox's init hands on what packages signal to pid 1, as sysvinit-core does with USR1; apt would die of it.
_HOLDER = ["/bin/sh", "-c", 'trap : HUP USR1 USR2; "$@"', "sh"]
_ENV = {"DEBIAN_FRONTEND": "noninteractive", "DEBCONF_NONINTERACTIVE_SEEN": "true", "LC_ALL": "C.UTF-8"}


class AptGet:
    """One step's. `own`: the host's folder that it works in, with `lists` and `archives`.

    binds: what its sources are in. built: (a folder inside, its suite) of a repository that goes before all others.
    """

    def __init__(
        self, step: Step, room: Room, own: str, binds: Sequence[Bind], built: tuple[str, str] | None = None
    ) -> None:
        self.archives = os.path.join(own, "archives")
        for folder in (os.path.join(own, "lists/partial"), os.path.join(self.archives, "partial")):
            os.makedirs(folder)
        self._room = room
        self._binds = [Bind(own, OWN), *binds]
        self._files = [(_CONFIGURATION, _configuration(step, room).encode()), _POLICY]
        sources, pins = b"", b""
        if built:  # of two that apt takes for the same it has the one that is listed first
            sources = f"deb [trusted=yes] file://{built[0]} {built[1]} main\n".encode()
            pins = f"Package: *\nPin: release n={built[1]}\nPin-Priority: 1001\n".encode()
        if step.lock:
            sources += f"deb [trusted=yes] file://{LOCKED} {LOCKED_SUITE} main\n".encode()
            self._files += [(_SOURCES, sources), (_PREFERENCES, pins)]
        elif built:
            with room.root() as root:
                sources += read(root, _LISTED)
            self._files += [(_LISTED, sources), (_PINNED, pins)]
        self._argv = ["apt-get", "--yes", f"--config-file={_CONFIGURATION}"]

    def inside(self, request: Sequence[str], chdir: str = "/") -> None:
        """Let it do that."""
        argv, what = [*_HOLDER, *self._argv, *request], f"apt-get {' '.join(request)}"
        self._room.inside(argv, env=_ENV, binds=self._binds, files=self._files, chdir=chdir, what=what)

    def get(self, request: Sequence[str], pool: str) -> list[Wanted]:
        """The same, with what the pool has, which gets what it has not; what it takes for that."""
        fetched = self.fetches(request)
        lend(pool, fetched, self.archives)
        self.inside(request)
        keep(pool, fetched, self.archives)
        return fetched

    def fetches(self, request: Sequence[str]) -> list[Wanted]:
        """What it would fetch for that, by its lists. Nothing where it cannot do it: then `inside` says why."""
        try:
            return wanted(self.ask(["--quiet=2", "--print-uris", "-oAcquire::ForceHash=SHA256", *request]))
        except Error:
            return []

    def ask(self, request: Sequence[str]) -> str:
        """What it says to that."""
        return self._room.ask([*self._argv, *request], env=_ENV, binds=self._binds, files=self._files)

    def newer(self) -> dict[str, str]:
        """NAME:ARCH -> version of what it would upgrade, by the newest lists."""
        self.inside(["update"])
        return inventory.simulated(self.ask(["--simulate", "dist-upgrade"]))


def packages(fetched: Sequence[Wanted]) -> dict[str, Archive]:
    """By NAME:ARCH, of NAME_VERSION_ARCH.deb, as apt calls what it fetches."""
    found = {}
    for file in fetched:
        parts = file.name.removesuffix(".deb").split("_")
        found[f"{parts[0]}:{parts[-1]}"] = Archive(f"sha256:{file.digest}", file.source)
    return found


def _configuration(step: Step, room: Room) -> str:
    """apt.conf(5); read after the tree's own."""
    bundle = outfit(room.caller).bundle if step.network else ""
    lines = [
        f'Dir::State::lists "{OWN}/lists";',
        f'Dir::Cache::archives "{OWN}/archives";',
        'Dir::Cache::pkgcache "";',
        'Dir::Cache::srcpkgcache "";',
        # The sandbox is around all of it, and _apt could not read a mirror that is a folder of root's.
        'APT::Sandbox::User "root";',
        f'APT::Install-Recommends "{"true" if step.is_on("recommends") else "false"}";',
        'APT::Update::Error-Mode "any";',  # else an unreachable mirror is a warning, and old lists do
        'Acquire::Retries "3";',
        *([f'Acquire::https::CAInfo "{bundle}";'] if bundle else []),
        *(_LOCKED if step.lock else []),
        'Dpkg::Use-Pty "0";',
        'Dpkg::Options { "--force-unsafe-io"; "--force-confdef"; "--force-confold"; };',
    ]
    return "\n".join(lines) + "\n"
