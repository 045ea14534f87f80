"""What a process gives up before it executes what it was made for: capabilities(7), prctl(2)."""

import errno
import os

from treesmith.errors import Error
from treesmith.ids import COUNT
from treesmith.linux import landlock
from treesmith.linux.call import syscall
from treesmith.linux.process import (
    PR_CAPBSET_DROP,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    clear_inheritable,
    prctl,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.sandbox.filters import Filters
    from treesmith.sandbox.sandbox import Sandbox
    from treesmith.sandbox.user import Account

_JOIN_SESSION_KEYRING = 1
_SIGKILL = 9
_HIGHEST = 0xFFFFFFFE  # one more would be -1, which to setresuid(2) means "as it was"


def become_root(private_users: bool) -> None:
    """Of the user namespace, as soon as it has maps. Before, creating any file is EOVERFLOW. Without a new one: of the
    host, with whatever our caller has left us."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    if not private_users:
        clear_inheritable()
    prctl(PR_SET_DUMPABLE, 0)
    os.umask(0o022)
    join_keyring()


def join_keyring() -> None:
    """A new session keyring, empty: nothing of the caller's."""
    try:
        syscall("keyctl", _JOIN_SESSION_KEYRING, None, what="a session keyring of its own")
    except OSError as error:
        if error.errno != errno.ENOSYS:  # a kernel without keys
            raise


def check(sandbox: "Sandbox", account: "Account") -> None:
    """Error: there are no such ids; or, of a `chroot`, one of them is root's."""
    wanted, name = (account.uid, account.gid, *account.groups), f"{account.uid}:{account.gid}"
    highest = COUNT - 1 if sandbox.private_users else _HIGHEST
    if max(wanted) > highest:
        raise Error(f"user {name} cannot be", f"a sandbox has the ids 0 to {highest}")
    if sandbox.chroot and not all(wanted):
        raise Error(
            f"--isolation chroot does not run as {name}",
            "root leaves a chroot as it likes" if not account.uid else "group 0 is the host's root's",
            "--user of one who is not root, nor in its group: a name, or UID:GID",
        )


def give_up(sandbox: "Sandbox", filters: "Filters", account: "Account") -> None:
    """In this order: the bounding set needs SETPCAP, a filter SYS_ADMIN, and a change of ids clears PDEATHSIG."""
    capability = 0
    while True:
        try:
            if capability not in sandbox.capabilities:
                prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno != errno.EINVAL:  # past the last that this kernel knows
                raise
            break
        capability += 1
    if sandbox.network == "host" and landlock.has_scopes():
        landlock.shut_in(landlock.ABSTRACT_UNIX_SOCKET)  # they belong to the network: CVE-2020-15257
    filters.load()
    os.setgroups(account.groups)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    if sandbox.no_new_privs:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_PDEATHSIG, _SIGKILL)
