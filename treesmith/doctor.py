"""What this machine can do, found out by doing it."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import treesmith
from treesmith.backends import PREFERRED, btrfs, zfs
from treesmith.backends.choose import Tried, attempt, chosen, maps, missed
from treesmith.errors import Error, NotFoundError
from treesmith.ids import allocate
from treesmith.launch.disk import criu
from treesmith.launch.network import alone
from treesmith.launch.network.rules import find_nft
from treesmith.linux import landlock
from treesmith.linux.call import NUMBERS, machine
from treesmith.linux.process import NEWCGROUP, NEWIPC, NEWNET, NEWNS, NEWPID, NEWUSER, NEWUTS, unshare
from treesmith.linux.seccomp import Library
from treesmith.run import output, run
from treesmith.sandbox import cgroup, init
from treesmith.sandbox.sandbox import UNMAPPED, Sandbox
from treesmith.sandbox.tools import Tools
from treesmith.store import Store, open_store
from treesmith.store.place import default_path

OLDEST = (6, 1)  # Debian 12's


@dataclass(frozen=True)
class Check:
    """state "fail": treesmith cannot work so; "warn": something will be missing; "no": not there, and not needed.

    advice: what to do; "" if nothing.
    """

    name: str
    state: Literal["ok", "no", "warn", "fail"]
    found: str
    advice: str = ""


def checks(store: str = "", refused: Error | None = None) -> Iterator[Check]:
    """One after the other, as they are tried. store: its path, "" for the default one. refused: why a user who is not
    root can do nothing here."""
    yield _kernel()
    if refused:
        yield Check("user", "fail", f"{refused.brief}: {refused.details}", refused.hint)
        return
    yield _user()
    yield _namespaces()
    yield _ids()
    yield _init()
    yield _seccomp()
    yield _landlock()
    yield _sandbox()
    yield _cgroups()
    yield _pasta() if treesmith.ROOTLESS else _nft()
    if not treesmith.ROOTLESS:
        yield _criu()
    yield from _store(os.path.abspath(store or default_path()))
    yield _btrfsutil()
    yield _zfs()
    yield from _bootstrappers()


def _kernel() -> Check:
    release = os.uname().release
    found = f"Linux {release}, {machine}"
    if "mount" not in NUMBERS:
        return Check("kernel", "fail", found, "treesmith knows the system calls of x86_64 and aarch64 only")
    version = tuple(int(part) for part in release.split("-")[0].split(".")[:2])
    if version < OLDEST:
        return Check("kernel", "fail", found, f"Linux {OLDEST[0]}.{OLDEST[1]} or newer is needed")
    return Check("kernel", "ok", found)


def _user() -> Check:
    if not treesmith.ROOTLESS:
        return Check("user", "ok", "root")
    with open("/proc/self/uid_map") as file:
        first = file.read().split()[1]
    return Check("user", "ok", f"not root: the ids from {first} on, shared by all containers of this user")


def _namespaces() -> Check:
    every = NEWUSER | NEWNS | NEWPID | NEWNET | NEWIPC | NEWUTS | NEWCGROUP
    error = _in_child(lambda: unshare(every))
    if not error:
        return Check("namespaces", "ok", "user, mount, pid, net, ipc, uts, cgroup")
    advice = "sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone; or the container this runs in"
    return Check("namespaces", "fail", os.strerror(error), advice)


def _ids() -> Check:
    try:
        ids = allocate()
    except OSError as error:
        return Check("ids", "fail", str(error), f"ranges and their locks lie in {treesmith.RUN}/ids")
    found = f"{ids.count} free ones found, beginning at {ids.first}"
    if treesmith.ROOTLESS:
        found = f"{ids.count}, the same for each container"
    ids.close()
    return Check("ids", "ok", found)


def _in_child(action: Callable[[], object]) -> int:
    """0, or the errno that `action` fails with."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 255
    try:
        action()
        status = 0
    except OSError as error:
        status = error.errno or 255
    finally:
        os._exit(status)


def _init() -> Check:
    try:
        fd = init.find()
    except Error as error:
        return Check("first process", "fail", error.brief, error.hint)
    path = os.readlink(f"/proc/self/fd/{fd}")
    os.close(fd)
    return Check("first process", "ok", path)


def _seccomp() -> Check:
    try:
        return Check("seccomp", "ok", f"libseccomp {Library().version()}")
    except OSError as error:
        return Check("seccomp", "fail", str(error), "apt install libseccomp2")


def _landlock() -> Check:
    if landlock.has_scopes():
        return Check("landlock", "ok", "keeps the host's abstract sockets from who has its network")
    found = "not there, or before Linux 6.12: who has the host's network reaches its abstract sockets"
    return Check("landlock", "no", found)


def _sandbox() -> Check:
    """A whole launch, in a root of the host's own programs."""
    log = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    try:
        tools = Tools()
        try:
            run(Sandbox(tools, ("true",)), log, what="true")
        finally:
            tools.close()
    except (Error, OSError) as error:
        return Check("sandbox", "fail", " ".join(str(error).split("\n")), "see what failed above")
    finally:
        os.close(log)
    return Check("sandbox", "ok", "a program ran in one")


def _cgroups() -> Check:
    advice = "containers run without a cgroup of their own: no limits, and recovery finds them more slowly"
    place = cgroup.place(0)  # ids begin at 8: nobody else uses it
    path = place and cgroup.base() + place
    if not path:
        return Check("cgroup2", "warn", "not mounted, or not ours", advice)
    above = os.path.dirname(path)
    try:
        made = cgroup.make(path, 0)
        if made < 0:
            return Check("cgroup2", "warn", f"nothing can be made in {above}", advice)
        os.close(made)
        cgroup.remove(path)
        with open(f"{above}/cgroup.controllers") as file:
            controllers = file.read().split()
    except OSError as error:
        return Check("cgroup2", "warn", f"{above}: {error.strerror}", advice)
    return Check("cgroup2", "ok", f"{above}, controllers: {' '.join(controllers) or 'none'}")


def _pasta() -> Check:
    try:
        return Check("pasta", "ok", alone.find())
    except Error as error:
        return Check("pasta", "warn", error.brief, f"--network private needs it: {error.hint}")


def _nft() -> Check:
    try:
        return Check("nft", "ok", output((find_nft(), "--version")).split("\n")[0].removeprefix("nftables").strip())
    except Error as error:
        return Check("nft", "warn", error.brief, f"--network private needs it: {error.hint}")


def _criu() -> Check:
    try:
        criu.check()
    except Error as error:
        return Check("criu", "no", error.details, f"treesmith checkpoint needs it: {error.hint}")
    return Check("criu", "ok", "it knows this kernel")


def _store(path: str) -> Iterator[Check]:
    store: Store | None = None
    try:
        store = open_store(path)
    except NotFoundError:
        pass
    except Error as error:
        yield Check("store", "fail", error.brief, error.hint or error.details)
        return
    there = _existing(f"{path}/cache" if store else path)
    names = dict.fromkeys([*([store.backend.name] if store else []), *PREFERRED])
    tried = [_tried(name, there) for name in names]
    yield _kept(path, store, there, tried)
    for each in tried:
        if each.traits:
            kept = "works" if each.traits.keeps_links else "works; a hard link is split when it is written through"
            kept += "" if maps(each) else "; no id-mapped mounts"
            yield Check(f"backend {each.name}", "ok" if maps(each) else "warn", kept)
        else:
            needed = store and store.backend.name == each.name
            yield Check(f"backend {each.name}", "fail" if needed else "no", each.why, each.advice)
    if treesmith.ROOTLESS:
        yield Check("id-mapped mounts", "no", "only root may have them, and no tree needs them here: --bind does")
        return
    mapped = any(each.traits and each.traits.idmap for each in tried)
    advice = "" if mapped else UNMAPPED
    yield Check("id-mapped mounts", "ok" if mapped else "fail", "work there" if mapped else "refused there", advice)


def _kept(path: str, store: Store | None, there: str, tried: list[Tried]) -> Check:
    best = tried[0] if store else chosen(tried)
    if not best:
        return Check(
            "store", "fail", f"no backend works on the filesystem of {there}", "--store DIR, on another filesystem"
        )
    if not best.traits:
        return Check("store", "fail", f"{path} is kept by {best.name}, which does not work: {best.why}", best.advice)
    free = os.statvfs(there)
    room = f"{free.f_bavail * free.f_frsize >> 20} MiB free"
    found = f"{path}, kept" if store else f"none yet at {path}; would be kept"
    found += f" by {best.name}, {room}"
    better = missed(tried, best.name)
    if better:
        return Check("store", "warn", f"{found}; {better.name} would be better: {better.why}", better.advice)
    return Check("store", "ok", found)


def _btrfsutil() -> Check:
    try:
        found = btrfs.binding().__file__
    except Error as error:
        return Check("btrfsutil", "no", error.details, f"only stores on btrfs need it: {error.hint}")
    return Check("btrfsutil", "ok", found)


def _zfs() -> Check:
    try:
        zfs.calls()
        found = f"ZFS {zfs.version()} in the kernel, libzfs_core"
        if not shutil.which("zfs"):
            return Check("zfs", "no", f"{found}, but not its programs", "only stores on zfs need it: " + zfs.ADVICE)
    except Error as error:
        return Check("zfs", "no", error.details, f"only stores on zfs need it: {error.hint}")
    return Check("zfs", "ok", found)


def _existing(path: str) -> str:
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _tried(name: str, place: str) -> Tried:
    """The backend, tried on the filesystem of `place`."""
    try:
        folder = tempfile.mkdtemp(prefix=".treesmith-doctor-", dir=place)
    except OSError as error:
        return Tried(name, None, str(error))
    try:
        for part in ("staging", "layers", "trees"):
            os.mkdir(f"{folder}/{part}")
        return attempt(name, folder)
    finally:
        shutil.rmtree(folder)


def _bootstrappers() -> Iterator[Check]:
    """The programs that can fill an empty root; one of them is enough."""
    found = 0
    programs = ("mmdebstrap", "debootstrap")
    for program in programs:
        if not shutil.which(program):
            yield Check(program, "warn", "not found", f"apt install {program}")
            continue
        try:
            version = output((program, "--version")).split("\n")[0].removeprefix(program).strip()
        except Error as error:
            yield Check(program, "warn", error.brief, f"install {program} again")
            continue
        found += 1
        yield Check(program, "ok", version)
    if not found:
        yield Check("bootstrapping", "fail", "nothing can fill an empty root", f"install one of {', '.join(programs)}")
