"""What the filters answer, asked of the compiled programs as the kernel would: for other machines, too."""

import errno
import os
import struct

import pytest

from treesmith.linux import seccomp
from treesmith.linux.seccomp import ALLOW, ARCHITECTURES, Library, refuse
from treesmith.sandbox import policy
from treesmith.sandbox.sandbox import BOOTSTRAP, Sandbox

MACHINES = sorted(ARCHITECTURES)
NUMBERS = {  # asm/unistd_64.h; asm-generic/unistd.h
    "x86_64": {
        "read": 0, "fsync": 74, "clone": 56, "unshare": 272, "ioctl": 16, "socket": 41, "socketpair": 53, "mount": 165,
        "keyctl": 250, "personality": 135, "ptrace": 101, "setns": 308, "bpf": 321, "syslog": 103, "chroot": 161,
        "prctl": 157, "setresuid": 117, "sendmsg": 46, "recvfrom": 45, "execveat": 322, "open_by_handle_at": 304,
        "fchmod": 91, "fchmodat": 268, "mknodat": 259, "openat": 257, "chmod": 90, "creat": 85, "open": 2, "mknod": 133,
    },
    "aarch64": {
        "read": 63, "fsync": 82, "clone": 220, "unshare": 97, "ioctl": 29, "socket": 198, "socketpair": 199,
        "mount": 40, "keyctl": 219, "personality": 92, "ptrace": 117, "setns": 268, "bpf": 280, "syslog": 116,
        "chroot": 51, "prctl": 167, "setresuid": 147, "sendmsg": 211, "recvfrom": 207, "execveat": 281,
        "open_by_handle_at": 265, "fchmod": 52, "fchmodat": 53, "mknodat": 33, "openat": 56,
    },
}  # fmt: skip
EVERYWHERE = {
    "io_uring_setup": 425,
    "clone3": 435,
    "close_range": 436,
    "open_tree": 428,
    "openat2": 437,
    "fchmodat2": 452,
}
ENOSYS, EPERM, EAFNOSUPPORT = refuse(errno.ENOSYS), refuse(errno.EPERM), refuse(errno.EAFNOSUPPORT)


def answer(program: bytes, architecture: int, number: int, arguments: tuple[int, ...]) -> int:
    """What a classic BPF program returns: Documentation/networking/filter.rst."""
    arguments = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("=IIQ6Q", number, architecture, 0, *arguments)
    code = list(struct.iter_unpack("=HBBI", program))
    at = register = 0
    while True:
        op, then, otherwise, value = code[at]
        at += 1
        if op == 0x20:
            register = struct.unpack_from("=I", data, value)[0]
        elif op == 0x54:
            register &= value
        elif op == 0x05:
            at += value
        elif op == 0x06:
            return int(value)
        else:
            holds = {0x15: register == value, 0x25: register > value, 0x35: register >= value}[op]
            at += then if holds else otherwise


class Kernel:
    """Both programs of a sandbox, on a machine."""

    def __init__(self, sandbox: Sandbox, machine: str) -> None:
        library = Library()
        calls, arguments = policy.rules(sandbox)
        self.programs = (
            library.compile(policy.UNKNOWN, calls, policy.UNKNOWN, machine),
            library.compile(ALLOW, arguments, policy.UNKNOWN, machine),
        )
        self.architecture = ARCHITECTURES[machine]
        self.numbers = {**NUMBERS[machine], **EVERYWHERE}

    def __call__(self, name: str, *arguments: int) -> int:
        return self.number(self.numbers[name], *arguments)

    def number(self, number: int, *arguments: int, architecture: int = 0) -> int:
        answers = [answer(code, architecture or self.architecture, number, arguments) for code in self.programs]
        return min(answers)  # an error counts more than ALLOW: seccomp(2)


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sandbox(**options: object) -> Sandbox:
    return Sandbox(None, **options)  # type: ignore[arg-type]  # no view: nothing is started


def test_what_a_command_may(machine: str) -> None:
    ask = Kernel(sandbox(), machine)
    for name in ("read", "fsync", "ptrace", "chroot", "prctl", "setresuid", "sendmsg", "recvfrom", "execveat"):
        assert ask(name) == ALLOW, name
    assert ask("close_range", 3, 0xFFFFFFFF, 4) == ALLOW
    for name in ("mount", "setns", "bpf", "syslog", "open_tree", "open_by_handle_at"):
        assert ask(name) == EPERM, name
    for name in ("clone3", "io_uring_setup", "keyctl"):
        assert ask(name) == ENOSYS, name
    assert ask.number(9999) == ENOSYS


@pytest.mark.parametrize("nests", [True, False])
@pytest.mark.parametrize("capabilities", [BOOTSTRAP, frozenset[int]()])
def test_clone3_is_there_where_no_namespace_is_refused(machine: str, nests: bool, capabilities: frozenset[int]) -> None:
    ask = Kernel(sandbox(nests=nests, capabilities=capabilities), machine)
    assert ask("clone3") == (ALLOW if nests and capabilities else ENOSYS)


def test_another_architecture_has_no_calls(machine: str) -> None:
    ask = Kernel(sandbox(), machine)
    for architecture in (0x40000003, 0x40000028, ARCHITECTURES[MACHINES[machine == MACHINES[0]]]):  # i386, arm
        for number in (0, 1, 3, 63, 120, 220):
            assert ask.number(number, architecture=architecture) == ENOSYS
    assert machine != "x86_64" or ask.number(0x40000000) == ENOSYS  # x32's read


@pytest.mark.parametrize("bit", [0o4000, 0o2000])
@pytest.mark.parametrize("high", [0, 1 << 16, 1 << 32])
def test_nothing_is_made_setuid(machine: str, bit: int, high: int) -> None:
    """high: what the kernel does not look at in a mode."""
    ask = Kernel(sandbox(no_suid=True), machine)
    mode, plain = high | bit | 0o755, high | 0o1755
    creat, tmpfile = 0o101, 0o20200001
    modes = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "mknod": 1, "mknodat": 2, "creat": 1}
    for name, at in modes.items():
        if name in ask.numbers:
            assert ask(name, *[0] * at, mode) == EPERM, name
            assert ask(name, *[0] * at, plain) == ALLOW, name
            assert Kernel(sandbox(), machine)(name, *[0] * at, mode) == ALLOW, name
    assert ask("fchmodat2", 0, 0, mode) in (EPERM, ENOSYS)  # as new as libseccomp is
    for name, at in {"open": 1, "openat": 2}.items():
        if name in ask.numbers:
            assert {ask(name, *[0] * at, flags, mode) for flags in (creat, tmpfile)} == {EPERM}
            assert {ask(name, *[0] * at, flags, plain) for flags in (creat, tmpfile)} == {ALLOW}
            assert ask(name, *[0] * at, 0o2, mode) == ALLOW  # without a file to make it is no mode, but rubbish
    assert (ask("openat2"), Kernel(sandbox(), machine)("openat2")) == (ENOSYS, ALLOW)
    assert ask("ioctl", 0, high >> 16 << 32 | 0x50009401) == ask("ioctl", 0, 0x50009417) == EPERM


@pytest.mark.parametrize("call", ["clone", "unshare"])
def test_namespaces(machine: str, call: str) -> None:
    ask = Kernel(sandbox(), machine)
    for bit in (17, 25, 26, 27, 28, 29, 30):
        assert ask(call, 1 << bit | 0x11) == EPERM
        assert ask(call, 1 << 40 | 1 << bit) == EPERM
    assert ask(call, 0x3D0F00) == ALLOW  # a thread's
    assert ask("unshare", 0x80) == EPERM
    with_admin = Kernel(sandbox(capabilities=BOOTSTRAP), machine)
    assert with_admin(call, 1 << 17) == ALLOW
    assert with_admin(call, 1 << 17 | 1 << 28) == EPERM
    assert with_admin("mount") == with_admin("open_tree") == ALLOW


@pytest.mark.parametrize("high", [0, 1 << 32, 1 << 63])
def test_no_input_for_other_terminals(machine: str, high: int) -> None:
    ask = Kernel(sandbox(), machine)
    assert ask("ioctl", 0, high | 0x5412) == ask("ioctl", 0, high | 0x541C) == EPERM
    assert ask("ioctl", 0, 0x5413) == ALLOW


@pytest.mark.parametrize("call", ["socket", "socketpair"])
def test_families(machine: str, call: str) -> None:
    ask = Kernel(sandbox(), machine)
    assert {family for family in range(300) if ask(call, family, 1) == ALLOW} == {1, 2, 10, 16, 17}
    for family in (38, 40, 1 << 32 | 40, 1 << 32 | 38, 1 << 63 | 40):
        assert ask(call, family, 1) == EAFNOSUPPORT
    assert ask("socket", 16, 3, 9) == ask("socket", 16, 3, 1 << 32 | 9) == EAFNOSUPPORT


def test_personalities(machine: str) -> None:
    ask = Kernel(sandbox(), machine)
    assert [ask("personality", number) for number in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)] == [ALLOW] * 5
    assert ask("personality", 0x40000) == ENOSYS


def test_syncs_can_be_left_out(machine: str) -> None:
    ask = Kernel(sandbox(no_sync=True), machine)
    assert (ask("fsync"), ask("read"), ask("mount")) == (refuse(0), ALLOW, EPERM)


def test_each_call_is_named_once() -> None:
    for capabilities in (frozenset[int](), BOOTSTRAP, frozenset(range(64))):
        rules, _ = policy.rules(sandbox(capabilities=capabilities))
        plain = [name for name, _, tests in rules if not tests]
        assert len(plain) == len(set(plain))


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "LIBRARY", "libtreesmith-none.so")
    with pytest.raises(OSError, match="libtreesmith-none"):
        Library()


def test_the_library_leaves_nothing_open(machine: str) -> None:
    Kernel(sandbox(), machine)
    before = os.listdir("/proc/self/fd")
    Kernel(sandbox(), machine)
    assert os.listdir("/proc/self/fd") == before
