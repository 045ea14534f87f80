"""What a sandbox's system calls are answered with, as rules for libseccomp.

Two filters, of which the stricter answer counts. The first lists the calls that there are: whatever it does not name is
ENOSYS, as on an older kernel, so that programs fall back; clone3 among them, whose flags no filter can see, and
io_uring, which would go round all of this. The second looks at arguments, and only ever refuses.
"""

import errno

from treesmith.linux.process import NEWCGROUP, NEWIPC, NEWNET, NEWNS, NEWPID, NEWTIME, NEWUSER, NEWUTS
from treesmith.linux.seccomp import ALLOW, EQ, GE, MASKED_EQ, refuse
from treesmith.sandbox.calls import ALLOWED, BY_CAPABILITY, REFUSED, SYNCS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.linux.seccomp import Rule

UNKNOWN = refuse(errno.ENOSYS)
_EPERM = refuse(errno.EPERM)
_SYS_ADMIN = 21
_INT = 0xFFFFFFFF  # the kernel looks at no more of an int, so no more may be compared (CVE-2019-10063)

_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_FAMILIES = (1, 2, 10, 16, 17)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET
_NETLINK, _AUDIT = 16, 9
_NEWEST_FAMILY = 45
# PER_LINUX, PER_LINUX32, both with UNAME26, and the question which it is: as podman.
_PERSONALITIES = (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)


def calls(capabilities: "frozenset[int]", no_sync: bool) -> "list[Rule]":
    """The first filter's; by default UNKNOWN."""
    allowed = ALLOWED.split()
    refused = REFUSED.split()
    for capability, names in BY_CAPABILITY.items():
        (allowed if capability in capabilities else refused).extend(names.split())
    left_out = SYNCS if no_sync else ()
    rules: list[Rule] = [(name, ALLOW, ()) for name in allowed if name not in left_out]
    rules += [(name, refuse(0), ()) for name in left_out]
    rules += [(name, _EPERM, ()) for name in refused]
    rules += [("personality", ALLOW, ((0, EQ, number, 0),)) for number in _PERSONALITIES]
    return rules


def arguments(capabilities: "frozenset[int]", nests: bool = False) -> "list[Rule]":
    """The second filter's; by default ALLOW."""
    namespaces: tuple[int, ...] = () if nests else (NEWUSER,)
    if _SYS_ADMIN not in capabilities:
        namespaces += (NEWNS, NEWPID, NEWNET, NEWIPC, NEWUTS, NEWCGROUP)
    rules: list[Rule] = [(name, _EPERM, (_bits(0, flag),)) for name in ("clone", "unshare") for flag in namespaces]
    if NEWNS in namespaces:
        rules.append(("unshare", _EPERM, (_bits(0, NEWTIME),)))  # to clone that bit is part of a signal
    # What would be typed for whoever reads a terminal next.
    rules += [("ioctl", _EPERM, ((1, MASKED_EQ, _INT, request),)) for request in (_TIOCSTI, _TIOCLINUX)]
    return rules + _sockets()


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
