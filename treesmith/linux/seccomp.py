"""System call filters: made by libseccomp, see seccomp_rule_add(3); loaded by seccomp(2)."""

import _ctypes
import os

from treesmith.linux.call import Function, Long, Pointer, packed, syscall

ALLOW = 0x7FFF0000
EQ, GE, MASKED_EQ = 4, 5, 7  # MASKED_EQ: `first` is the mask, `second` what must be left

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_*

LIBRARY = "libseccomp.so.2"

_SET_MODE_FILTER = 1
_NATIVE, _FOREIGN, _OPTIMIZE = 0, 2, 8  # SCMP_ARCH_NATIVE, SCMP_FLTATR_ACT_BADARCH, SCMP_FLTATR_CTL_OPTIMIZE
_BINARY_TREE = 2
_UNKNOWN = -1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Test = tuple[int, int, int, int]  # of the argument (from 0): EQ and its like, first, second; unsigned, 64 bits
    Rule = tuple[str, int, tuple[Test, ...]]  # a call, what is done if all tests hold


class _Unsigned(_ctypes._SimpleCData):  # type: ignore[type-arg]  # typeshed: generic, but not at run time
    _type_ = "I"


class _Text(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "z"


def refuse(error: int) -> int:
    """The action that makes a call fail with this errno; 0: it does nothing, and succeeds."""
    return 0x00050000 | error


def load(program: bytes) -> None:
    """Filter this process, and all it will start, by a classic BPF program of 8-byte instructions.

    EACCES unless the process has SYS_ADMIN in its user namespace or no_new_privs.
    """
    kept = _Text(program)  # it points into `program`: no copy of some thousand bytes, one object each
    address = Long.from_address(_ctypes.addressof(kept)).value
    syscall("seccomp", _SET_MODE_FILTER, 0, packed(8, len(program) // 8, address), what="seccomp")


class Library:
    """libseccomp, as it is installed. OSError: it is not."""

    __slots__ = ("_handle",)

    def __init__(self) -> None:
        self._handle = _ctypes.dlopen(LIBRARY, os.RTLD_NOW)

    def version(self) -> str:
        """As "2.5.4"."""
        address = self._call("seccomp_version")
        return ".".join(str(part) for part in (_Unsigned * 3).from_address(address))

    def compile(self, default: int, rules: "Iterable[Rule]", foreign: int, machine: str) -> bytes:
        """A program for `machine`, one of ARCHITECTURES. foreign: what is done about another architecture's calls.

        Calls that the library or the machine does not know are left to `default`. OSError: what the library says.
        """
        context = self._call("seccomp_init", default)
        if not context:
            raise OSError(12, "libseccomp makes no filter")
        memory = os.memfd_create("filter", os.MFD_CLOEXEC)
        try:
            architecture = ARCHITECTURES[machine]
            if _signed(self._call("seccomp_arch_exist", context, architecture)):
                self._do("seccomp_arch_add", context, architecture)
                self._do("seccomp_arch_remove", context, _NATIVE)
            self._do("seccomp_attr_set", context, _FOREIGN, foreign)
            self._do("seccomp_attr_set", context, _OPTIMIZE, _BINARY_TREE)
            for name, action, tests in rules:
                number = _signed(self._call("seccomp_syscall_resolve_name", os.fsencode(name)))
                if number == _UNKNOWN:
                    continue
                array = b"".join(packed(4, at, how) + packed(8, first, second) for at, how, first, second in tests)
                self._do("seccomp_rule_add_array", context, action, number, len(tests), array)
            self._do("seccomp_export_bpf", context, memory)
            return os.pread(memory, os.fstat(memory).st_size, 0)
        finally:
            os.close(memory)
            self._call("seccomp_release", context)

    def _do(self, name: str, *arguments: "int | bytes") -> None:
        error = -_signed(self._call(name, *arguments))
        if error > 0:
            raise OSError(error, os.strerror(error), name)

    def _call(self, name: str, *arguments: "int | bytes") -> int:
        function = Function(_ctypes.dlsym(self._handle, name))
        function.argtypes = (Pointer,) * len(arguments)
        result: int = function(*arguments)
        return result


def _signed(result: int) -> int:
    """A C int, of which the upper half of the register says nothing."""
    return (result & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
