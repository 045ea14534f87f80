"""Which devices may be opened in a sandbox: a program at its cgroup, asked by the kernel at each open of a node
(Documentation/admin-guide/cgroup-v2.rst, "Device controller"; include/uapi/linux/bpf.h, struct bpf_cgroup_dev_ctx).

The sandbox's own mounts are nodev already. But who may mount inside takes that back, and then a tree's node of a disk
would be the host's disk.
"""

import errno
import os

from treesmith.linux.bpf import attach, load
from treesmith.linux.call import packed

_CHARACTER = 2
_PTYS = 136
_ALLOWED = {1: (3, 5, 7, 8, 9), 5: (0, 1, 2)}  # null zero full random urandom; tty console ptmx
_LOAD, _AND, _EQUAL, _DIFFERENT, _SET, _EXIT = 0x61, 0x57, 0x15, 0x55, 0xB7, 0x95  # instruction-set.rst
_KIND, _MAJOR, _MINOR = 2, 3, 4  # registers; 1 has the address of what is asked


def control(cgroup: int) -> bool:
    """Of all that runs in the cgroup of this descriptor, and below. False: it cannot be done here."""
    try:
        fd = load(program())
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOSYS, errno.EINVAL):
            raise
        return False
    try:
        attach(fd, cgroup)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EINVAL):
            raise
        return False
    finally:
        os.close(fd)
    return True


def program() -> bytes:
    """Returns 1 for what may be opened or made, else 0."""
    tests: list[tuple[int, int, int | None]] = [(_EQUAL, _PTYS, None)]
    for major, minors in _ALLOWED.items():
        tests.append((_DIFFERENT, major, len(minors)))
        tests += [(_EQUAL, minor, -1) for minor in minors]
    code = [_one(_LOAD, _KIND, 0, source=1), _one(_AND, _KIND, 0, 0xFFFF)]
    code += [_one(_LOAD, _MAJOR, 4, source=1), _one(_LOAD, _MINOR, 8, source=1)]
    deny = len(code) + 1 + len(tests)
    code.append(_one(_DIFFERENT, _KIND, deny - len(code) - 1, _CHARACTER))
    for operation, number, skipped in tests:
        allow = deny + 2 - len(code) - 1
        register = _MINOR if skipped == -1 else _MAJOR
        code.append(_one(operation, register, skipped if skipped and skipped > 0 else allow, number))
    for answer in (0, 1):
        code += [_one(_SET, 0, 0, answer), _one(_EXIT, 0, 0)]
    return b"".join(code)


def _one(operation: int, register: int, offset: int, value: int = 0, source: int = 0) -> bytes:
    return packed(1, operation, register | source << 4) + packed(2, offset) + packed(4, value)
