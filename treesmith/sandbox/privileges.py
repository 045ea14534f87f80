"""What a process gives up before it executes what it was made for: capabilities(7), prctl(2)."""

import errno
import os

from treesmith.errors import Error
from treesmith.ids import COUNT
from treesmith.linux.call import syscall
from treesmith.linux.process import (
    PR_CAPBSET_DROP,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    prctl,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.sandbox.filters import Filters
    from treesmith.sandbox.sandbox import Sandbox
    from treesmith.sandbox.user import Account

_JOIN_SESSION_KEYRING = 1
_SIGKILL = 9


def become_root() -> None:
    """Of the user namespace, as soon as it has maps. Before, creating any file is EOVERFLOW."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    prctl(PR_SET_DUMPABLE, 0)
    os.umask(0o022)
    try:
        syscall("keyctl", _JOIN_SESSION_KEYRING, None, what="a session keyring of its own")
    except OSError as error:
        if error.errno != errno.ENOSYS:  # a kernel without keys
            raise


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
    filters.load()
    try:
        os.setgroups(account.groups)
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Error(f"user {account.uid}:{account.gid} cannot be", f"a sandbox has the ids 0 to {COUNT - 1}") from error
    if sandbox.no_new_privs:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_PDEATHSIG, _SIGKILL)
