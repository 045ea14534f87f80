"""Without root: this process moves into a user namespace and is root there (user_namespaces(7), newuidmap(1)).

There 0 to COUNT - 1 are the caller's first subordinate ids, and COUNT is the caller: so his folders can be gone
through, and no container, whose namespace is nested in this one and ends at COUNT - 1, ever is him. All that he has
running shares one such namespace, or a verb could not reach what another has started: whoever comes joins who is
there. It lasts as long as somebody is in it.
"""

import errno
import fcntl
import os
import pwd

import treesmith
from treesmith.errors import Error
from treesmith.ids import COUNT, delegations
from treesmith.linux.process import NEWNS, NEWUSER, PR_SET_DUMPABLE, prctl, setns, unshare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_RANGES = {"uid": "/etc/subuid", "gid": "/etc/subgid"}
_FIRST_FREE = 100000  # where login.defs(5) has them begin
# What forbids it: the value that does, and the one that does not. Debian's, Ubuntu's, and everybody's.
_SYSCTLS = (
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user.max_user_namespaces", "0", "15000"),
)


def enter() -> None:
    """Root in there on return, in mounts of our own; RUN is the caller's. Error: what is missing, and what to do."""
    account = _account(os.getuid())
    maps = _maps(account.pw_name, os.getuid(), os.getgid())
    os.environ.setdefault("HOME", account.pw_dir)  # in there it would be root's
    folder = run_folder(os.getuid())
    turn = os.open(f"{folder}/namespace", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not _join(maps):
            _make(maps)
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        prctl(PR_SET_DUMPABLE, 1)  # the change of ids took it away, and who is not dumpable cannot be joined
        unshare(NEWNS)
    except OSError as error:
        _refuse(error)
    finally:
        os.close(turn)
    treesmith.RUN, treesmith.ROOTLESS = folder, True


def _account(user: int) -> "pwd.struct_passwd":
    try:
        return pwd.getpwuid(user)
    except KeyError:
        fix = f"sudo useradd --uid {user} NAME"
        raise Error(f"user {user} has no name", "newuidmap asks /etc/passwd for it", fix) from None


def _maps(name: str, user: int, group: int) -> "dict[str, tuple[int, ...]]":
    """Of each kind: triples of the first inside, the first outside, how many."""
    found = {kind: _first(path, {name, str(user)}) for kind, path in _RANGES.items()}
    missing = [kind for kind, first in found.items() if first is None]
    if missing:
        kinds = " and ".join({"uid": "user", "gid": "group"}[kind] for kind in missing)
        files = " and ".join(_RANGES[kind] for kind in missing)
        raise Error(
            f"{name} has no subordinate {kinds} ids",
            f"without root treesmith needs {COUNT} of each, in one line of {files}",
            _add(name, missing),
        )
    return {
        "uid": (0, found["uid"] or 0, COUNT, COUNT, user, 1),
        "gid": (0, found["gid"] or 0, COUNT, COUNT, group, 1),
    }


def _first(path: str, owners: "set[str]") -> "int | None":
    return next((first for owner, first, count in delegations(path) if owner in owners and count >= COUNT), None)


def _add(name: str, kinds: "list[str]") -> str:
    """The command that hands out what nobody has yet: usermod(8), which adds to files that are there only."""
    ends = [first + count for path in _RANGES.values() for _, first, count in delegations(path)]
    first = max([_FIRST_FREE, *ends])
    absent = [path for path in _RANGES.values() if not os.path.exists(path)]
    flags = " ".join(f"--add-sub{kind}s {first}-{first + COUNT - 1}" for kind in kinds)
    return (f"sudo touch {' '.join(absent)}; " if absent else "") + f"sudo usermod {flags} {name}"


def run_folder(user: int) -> str:
    """Where what this user runs is recorded: as the XDG Base Directory Specification has it, else in /tmp, all his."""
    for above in (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{user}"):
        if above.startswith("/") and _is_own(above, user):
            folder = f"{above}/treesmith"
            break
    else:
        folder = f"/tmp/treesmith-{user}"  # where anybody may have been first: it is looked at
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    status = os.lstat(folder)
    if not _is_own(folder, user) or status.st_mode & 0o77:
        raise Error(
            f"{folder} is not yours alone", "what you run is recorded there", "remove it, or set XDG_RUNTIME_DIR"
        )
    return folder


def _is_own(path: str, user: int) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return status.st_uid == user and status.st_mode & 0o170000 == 0o040000


def _join(maps: "dict[str, tuple[int, ...]]") -> bool:
    """Whose processes are there already: they are the first subordinate id's, and map as we would."""
    owner = maps["uid"][1]
    for name in os.listdir("/proc"):
        try:
            if not name.isdecimal() or os.stat(f"/proc/{name}").st_uid != owner:
                continue
            pidfd = os.pidfd_open(int(name))
        except OSError:
            continue
        try:
            if all(_read(f"/proc/{name}/{kind}_map").split() == list(map(str, maps[kind])) for kind in maps):
                setns(pidfd, NEWUSER)
                return True
        except OSError:
            continue  # it has just ended
        finally:
            os.close(pidfd)
    return False


def _make(maps: "dict[str, tuple[int, ...]]") -> None:
    """A new one, by a child that is its first, for only from outside can it be mapped; then join that."""
    (ready, tell), (wait, release) = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        _first_inside(tell, wait, release)
    os.close(tell)
    os.close(wait)
    try:
        code = int(os.read(ready, 16) or b"5")
        if code:
            raise OSError(code, os.strerror(code), "unshare")
        for kind, program in (("uid", "newuidmap"), ("gid", "newgidmap")):
            _map(program, pid, maps[kind])
        pidfd = os.pidfd_open(pid)
        try:
            setns(pidfd, NEWUSER)
        finally:
            os.close(pidfd)
    finally:
        os.close(ready)
        os.close(release)
        os.waitpid(pid, 0)


def _first_inside(tell: int, wait: int, release: int) -> "NoReturn":
    try:
        os.close(release)
        try:
            unshare(NEWUSER)
            os.write(tell, b"0")
            os.read(wait, 1)  # end of file: somebody else is in it, or will never be
        except OSError as error:
            os.write(tell, str(error.errno).encode())
    finally:
        os._exit(0)


def _map(program: str, pid: int, triples: "tuple[int, ...]") -> None:
    said = os.memfd_create(program, os.MFD_CLOEXEC)
    try:
        argv = [program, str(pid), *map(str, triples)]
        child = os.posix_spawnp(program, argv, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, said, 2)])
        if os.waitpid(child, 0)[1]:
            words = os.pread(said, 4096, 0).decode(errors="replace").strip()
            raise Error("subordinate ids cannot be mapped", words, _powerless(program))
    except FileNotFoundError:
        fix = "sudo apt install uidmap (Fedora: shadow-utils)"
        raise Error(f"{program} is missing", "it maps subordinate ids", fix) from None
    finally:
        os.close(said)


def _powerless(program: str) -> str:
    """Why a program that is to be privileged may be not."""
    if "NoNewPrivs:\t1" in _read("/proc/self/status"):
        return "what started treesmith set no_new_privs (a unit's NoNewPrivileges=): without it, or as root"
    for folder in os.environ.get("PATH", os.defpath).split(":"):
        path = f"{folder}/{program}"
        if os.access(path, os.X_OK):
            if os.stat(path).st_mode & 0o4000 or "security.capability" in os.listxattr(path):
                break
            return f"sudo chmod u+s {path}"
    return "its words say what is wrong with /etc/subuid or /etc/subgid"


def _refuse(error: OSError) -> "NoReturn":
    raise Error(
        "no user namespace can be entered",
        f"{error.filename or 'a call'}: {error.strerror}",
        advice() or "a chroot, a seccomp filter or the container we run in forbids it; or become root: sudo treesmith",
    ) from error


def advice(sysctls: str = "/proc/sys") -> str:
    """The command that allows it, where a setting forbids it; else ""."""
    for name, bad, good in _SYSCTLS:
        try:
            if _read(f"{sysctls}/{name.replace('.', '/')}").strip() == bad:
                return f"sudo sysctl -w {name}={good}"
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
    return ""


def _read(path: str) -> str:
    with open(path, errors="replace") as file:
        return file.read()
