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

    def create(self, name: str, key: str = "", value: str = "") -> None:
        """With a user property, if there is a key."""
        with _List(self, key, value) as properties:
            self._call("lzc_create", os.fsencode(name), _FILESYSTEM, properties, None, 0, what=name)

    def snapshot(self, name: str) -> None:
        with _List(self, name) as names:
            self._on_list("lzc_snapshot", names, None, what=name)

    def clone(self, snapshot: str, name: str, key: str = "", value: str = "") -> None:
        """With a user property, if there is a key."""
        with _List(self, key, value) as properties:
            self._call("lzc_clone", os.fsencode(name), os.fsencode(snapshot), properties, what=name)

    def promote(self, name: str) -> None:
        """The clone takes over its origin, and every older snapshot with it."""
        conflict = bytes(256)
        self._call("lzc_promote", os.fsencode(name), conflict, len(conflict), what=name)

    def destroy(self, name: str) -> None:
        """A filesystem without snapshots and clones."""
        self._call("lzc_destroy", os.fsencode(name), what=name)

    def destroy_snapshot(self, name: str) -> None:
        """Now, or with its last clone, or hold. One that is gone is fine."""
        with _List(self, name) as names:
            self._on_list("lzc_destroy_snaps", names, 1, what=name)

    def sync(self, pool: str) -> None:
        """What was written is on disk, and counted: zpool-sync(8)."""
        with _List(self, "force", False) as options:
            self._call("lzc_sync", os.fsencode(pool), options, None, what=pool)

    def hold(self, snapshot: str, tag: str) -> None:
        """Until `release`: zfs-hold(8)."""
        with _List(self, snapshot, tag) as holds:
            self._on_list("lzc_hold", holds, -1, what=snapshot)

    def release(self, snapshot: str, tag: str) -> None:
        """FileNotFoundError: there is no such snapshot, or hold."""
        with _List(self, tag) as tags, _List(self, snapshot, tags) as holds:
            self._on_list("lzc_release", holds, what=snapshot)

    def _on_list(self, function: str, *arguments: "object", what: str) -> None:
        failures = _Pointer()
        try:
            self._call(function, *arguments, _ctypes.byref(failures), what=what)
        finally:
            if failures.value:
                self._function(self._lists, "nvlist_free")(failures)

    def _call(self, name: str, *arguments: "object", of: int = 0, what: str = "") -> None:
        error = self._function(of or self._core, name, len(arguments))(*arguments)
        if error:
            raise OSError(error, os.strerror(error), what or name)

    def _function(self, library: int, name: str, count: int = 1) -> _Function:
        function = _Function(_ctypes.dlsym(library, name))
        function.argtypes = (_Pointer,) * count
        return function


class _List:
    """An nvlist of one pair, in a `with` block. value: None for a flag that is only there. Without a key: none."""

    __slots__ = ("_calls", "_key", "_list", "_value")

    def __init__(self, calls: Zfs, key: str, value: "str | bool | _Pointer | None" = None) -> None:
        self._calls = calls
        self._key = key
        self._value = value
        self._list = _Pointer()

    def __enter__(self) -> _Pointer:
        if self._key:
            self._add()
        return self._list

    def __exit__(self, *_: object) -> None:
        if self._list.value:
            self._calls._function(self._calls._lists, "nvlist_free")(self._list)

    def _add(self) -> None:
        call, library, key = self._calls._call, self._calls._lists, os.fsencode(self._key)
        call("nvlist_alloc", _ctypes.byref(self._list), _UNIQUE_NAME, 0, of=library)
        if self._value is None:
            call("nvlist_add_boolean", self._list, key, of=library)
        elif isinstance(self._value, bool):
            call("nvlist_add_boolean_value", self._list, key, int(self._value), of=library)
        elif isinstance(self._value, str):
            call("nvlist_add_string", self._list, key, os.fsencode(self._value), of=library)
        else:
            call("nvlist_add_nvlist", self._list, key, self._value, of=library)
