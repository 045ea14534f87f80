"""libzfs_core, as far as treesmith needs it: the C library itself, not Debian's pyzfs, whose import parses its
declarations with pycparser (0.1 s) and which no virtual environment sees. Dataset names are str, failures OSErrors.

Every change is in a finished transaction group on return (libzfs_core.h; "the functions in this library are atomic").
"""

import _ctypes
import os

_FILESYSTEM = 2  # LZC_DATSET_TYPE_ZFS
_UNIQUE_NAME = 1  # NV_UNIQUE_NAME


class _Int(_ctypes._SimpleCData):  # type: ignore[type-arg]  # typeshed: generic, but not at run time
    _type_ = "i"


class _Pointer(_ctypes._SimpleCData):  # type: ignore[type-arg]  # takes int, bytes (their address), byref and None
    _type_ = "P"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_PYTHONAPI  # without a second thread, see call.py
    _restype_ = _Int


class Zfs:
    """The library, opened. OSError: it is not installed, or there is no ZFS in the kernel."""

    __slots__ = ("_core", "_lists")

    def __init__(self) -> None:
        self._core = _ctypes.dlopen("libzfs_core.so.3", 2)
        self._lists = _ctypes.dlopen("libnvpair.so.3", 2)
        self._call("libzfs_core_init", what="/dev/zfs")

    def exists(self, name: str) -> bool:
        return bool(self._function(self._core, "lzc_exists")(os.fsencode(name)))

    def create(self, name: str) -> None:
        self._call("lzc_create", os.fsencode(name), _FILESYSTEM, None, None, 0, what=name)

    def snapshot(self, name: str) -> None:
        self._on_list("lzc_snapshot", name, None)

    def clone(self, snapshot: str, name: str) -> None:
        self._call("lzc_clone", os.fsencode(name), os.fsencode(snapshot), None, what=name)

    def promote(self, name: str) -> None:
        """The clone takes over its origin, and every older snapshot with it."""
        conflict = bytes(256)
        self._call("lzc_promote", os.fsencode(name), conflict, len(conflict), what=name)

    def destroy(self, name: str) -> None:
        """A filesystem without snapshots and clones."""
        self._call("lzc_destroy", os.fsencode(name), what=name)

    def destroy_snapshot(self, name: str) -> None:
        """Now, or with its last clone. One that is gone is fine."""
        self._on_list("lzc_destroy_snaps", name, 1)

    def _on_list(self, function: str, name: str, argument: "int | None") -> None:
        names, failures = _Pointer(), _Pointer()
        self._call("nvlist_alloc", _ctypes.byref(names), _UNIQUE_NAME, 0, of=self._lists)
        try:
            self._call("nvlist_add_boolean", names, os.fsencode(name), of=self._lists)
            self._call(function, names, argument, _ctypes.byref(failures), what=name)
        finally:
            for kept in (names, failures):
                if kept.value:
                    self._function(self._lists, "nvlist_free")(kept)

    def _call(self, name: str, *arguments: "object", of: int = 0, what: str = "") -> None:
        error = self._function(of or self._core, name, len(arguments))(*arguments)
        if error:
            raise OSError(error, os.strerror(error), what or name)

    def _function(self, library: int, name: str, count: int = 1) -> _Function:
        function = _Function(_ctypes.dlsym(library, name))
        function.argtypes = (_Pointer,) * count
        return function
