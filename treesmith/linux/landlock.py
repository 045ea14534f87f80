"""landlock(7): what a process gives up for itself and all it will start, whatever else it may do."""

import errno
import os

from treesmith.linux.call import packed, syscall

ABSTRACT_UNIX_SOCKET = 1  # LANDLOCK_SCOPE_*
_SCOPES_SINCE = 6  # of Linux 6.12
_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION


def has_scopes() -> bool:
    """Does this kernel know what `shut_in` asks of it?"""
    try:
        return syscall("landlock_create_ruleset", None, 0, _VERSION) >= _SCOPES_SINCE
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        return False


def shut_in(scopes: int) -> None:
    """Reach no more of these that are not made by whoever is as shut in as we are. As with every Landlock domain, no
    process outside can be traced any more. Takes no_new_privs, or SYS_ADMIN."""
    attributes = packed(8, 0, 0, scopes)  # files, network: nothing
    rules = syscall("landlock_create_ruleset", attributes, len(attributes), 0)
    try:
        syscall("landlock_restrict_self", rules, 0)
    finally:
        os.close(rules)
