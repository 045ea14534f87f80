"""What a sandbox's system calls are answered with, as rules for libseccomp.

Two filters, of which the stricter answer counts. The first lists the calls that there are: whatever it does not name is
ENOSYS, as on an older kernel, so that programs fall back; clone3 among them, whose flags no filter can see, if any of
them is refused, and io_uring, which would go round all of this. The second looks at arguments, and only ever refuses.
"""

import errno

from treesmith.linux.process import NEWCGROUP, NEWIPC, NEWNET, NEWNS, NEWPID, NEWTIME, NEWUSER, NEWUTS
from treesmith.linux.seccomp import ALLOW, EQ, GE, MASKED_EQ, refuse
from treesmith.sandbox.calls import ALLOWED, BY_CAPABILITY, REFUSED, SYNCS
from treesmith.sandbox.sandbox import SYS_ADMIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.linux.seccomp import Rule
    from treesmith.sandbox.sandbox import Sandbox

UNKNOWN = refuse(errno.ENOSYS)
_EPERM = refuse(errno.EPERM)
_INT = 0xFFFFFFFF  # the kernel looks at no more of an int, so no more may be compared (CVE-2019-10063)

_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_FAMILIES = (1, 2, 10, 16, 17)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET
_NETLINK, _AUDIT = 16, 9
_NEWEST_FAMILY = 45
# PER_LINUX, PER_LINUX32, both with UNAME26, and the question which it is: as podman.
_PERSONALITIES = (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)


_SUID, _SGID, _CREAT, _TMPFILE = 0o4000, 0o2000, 0o100, 0o20000000
_MODES = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "mknod": 1, "mknodat": 2, "creat": 1}
_OPENS = {"open": 1, "openat": 2}  # their flags; the mode comes next, and means something with two of the flags only
_SNAPSHOTS = (0x50009401, 0x50009417)  # BTRFS_IOC_SNAP_CREATE, _V2: setuid files of the tree would come along


def rules(sandbox: "Sandbox") -> "tuple[list[Rule], list[Rule]]":
    """Of both filters: the calls that there are, by default UNKNOWN; what is refused of them, by default ALLOW."""
    named = calls(sandbox.capabilities, sandbox.no_sync, sandbox.no_suid)
    if not _namespaces(sandbox.capabilities, sandbox.nests):
        named.append(("clone3", ALLOW, ()))
    refused = arguments(sandbox.capabilities, sandbox.nests)
    return named, refused + suids() * sandbox.no_suid


def calls(capabilities: "frozenset[int]", no_sync: bool, no_suid: bool) -> "list[Rule]":
    """no_suid: without openat2, whose mode no filter can see."""
    allowed = [name for name in ALLOWED.split() if not no_suid or name != "openat2"]
    refused = REFUSED.split()
    for capability, names in BY_CAPABILITY.items():
        (allowed if capability in capabilities else refused).extend(names.split())
    left_out = SYNCS if no_sync else ()
    rules: list[Rule] = [(name, ALLOW, ()) for name in allowed if name not in left_out]
    rules += [(name, refuse(0), ()) for name in left_out]
    rules += [(name, _EPERM, ()) for name in refused]
    rules += [("personality", ALLOW, ((0, EQ, number, 0),)) for number in _PERSONALITIES]
    return rules


def arguments(capabilities: "frozenset[int]", nests: bool) -> "list[Rule]":
    """What no sandbox may."""
    namespaces = _namespaces(capabilities, nests)
    rules: list[Rule] = [(name, _EPERM, (_bits(0, flag),)) for name in ("clone", "unshare") for flag in namespaces]
    if NEWNS in namespaces:
        rules.append(("unshare", _EPERM, (_bits(0, NEWTIME),)))  # to clone that bit is part of a signal
    # What would be typed for whoever reads a terminal next.
    rules += [("ioctl", _EPERM, ((1, MASKED_EQ, _INT, request),)) for request in (_TIOCSTI, _TIOCLINUX)]
    return rules + _sockets()


def _namespaces(capabilities: "frozenset[int]", nests: bool) -> "tuple[int, ...]":
    """The flags of those that may not be made."""
    own = () if nests else (NEWUSER,)
    return own if SYS_ADMIN in capabilities else (*own, NEWNS, NEWPID, NEWNET, NEWIPC, NEWUTS, NEWCGROUP)


def suids() -> "list[Rule]":
    """Nothing is made setuid or setgid. mkdir(2) ignores these bits, a write and a chown clear them, and neither link
    nor rename leads from one mount to another: inode(7)."""
    found: list[Rule] = []
    for bit in (_SUID, _SGID):
        found += [(name, _EPERM, (_bits(at, bit),)) for name, at in _MODES.items()]
        found += [
            (name, _EPERM, (_bits(at, flag), _bits(at + 1, bit)))
            for name, at in _OPENS.items()
            for flag in (_CREAT, _TMPFILE)
        ]
    return found + [("ioctl", _EPERM, ((1, MASKED_EQ, _INT, request),)) for request in _SNAPSHOTS]


def _sockets() -> "list[Rule]":
    """vsock ends at the hypervisor whatever the network namespace, and most families serve nobody but attackers.

    EAFNOSUPPORT, so that programs do without; libaudit among them, for which the kernel has no namespaces.
    """
    no = refuse(errno.EAFNOSUPPORT)
    others = [number for number in range(_NEWEST_FAMILY + 1) if number not in _FAMILIES]
    rules: list[Rule] = []
    for name in ("socket", "socketpair"):
        # A number with any of its upper half set is large: that half, which the kernel ignores, hides nothing.
        rules.append((name, no, ((0, GE, _NEWEST_FAMILY + 1, 0),)))
        rules += [(name, no, ((0, EQ, number, 0),)) for number in others]
    rules.append(("socket", no, ((0, EQ, _NETLINK, 0), (2, MASKED_EQ, _INT, _AUDIT))))
    return rules


def _bits(argument: int, bits: int) -> "tuple[int, int, int, int]":
    return argument, MASKED_EQ, bits, bits
