"""Reading zstd streams through libzstd (zstd.h, "Streaming decompression"); Python has its own only from 3.14 on."""

import _ctypes
import os

from treesmith.errors import Error
from treesmith.linux.call import Function, Long, Pointer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import BufferedReader

MAGIC = b"\x28\xb5\x2f\xfd"
_LIBRARY = "libzstd.so.1"


class _Text(_ctypes._SimpleCData):  # type: ignore[type-arg]  # typeshed: generic, but not at run time
    _type_ = "z"


class _TextFunction(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL
    _restype_ = _Text


class Zstd:
    """`read()` gives the next piece of what `source` holds, b"" at its end. libzstd refuses windows over 128 MiB.

    Error: no libzstd; the stream is broken or cut off.
    """

    __slots__ = ("_bytes_in", "_bytes_out", "_handle", "_in", "_inside", "_out", "_source", "_stream")

    def __init__(self, source: "BufferedReader") -> None:
        try:
            self._handle = _ctypes.dlopen(_LIBRARY, os.RTLD_NOW)
        except OSError as error:
            raise Error("libzstd is not installed", str(error), "apt install libzstd1") from None
        self._source = source
        self._bytes_in = bytearray(self._call("ZSTD_DStreamInSize"))
        self._bytes_out = bytearray(self._call("ZSTD_DStreamOutSize"))
        # ZSTD_inBuffer and ZSTD_outBuffer: address, size, position.
        self._in = (Long * 3)(_address(self._bytes_in), 0, 0)
        self._out = (Long * 3)(_address(self._bytes_out), len(self._bytes_out), 0)
        self._inside = False  # a frame
        self._stream = self._call("ZSTD_createDStream")

    def read(self) -> bytes:
        while True:
            if self._in[2] == self._in[1]:
                self._in[1], self._in[2] = self._source.readinto(self._bytes_in), 0
                if not self._in[1]:
                    if self._inside:
                        raise Error("a zstd stream is cut off")
                    return b""
            self._out[2] = 0
            addresses = (_ctypes.addressof(self._out), _ctypes.addressof(self._in))
            left = self._call("ZSTD_decompressStream", self._stream, *addresses)
            if self._call("ZSTD_isError", left) & 0xFFFFFFFF:
                name = _TextFunction(_ctypes.dlsym(self._handle, "ZSTD_getErrorName"))
                name.argtypes = (Pointer,)
                raise Error("a zstd stream is broken", name(left).decode())
            self._inside = left != 0
            if self._out[2]:
                return bytes(self._bytes_out[: self._out[2]])

    def close(self) -> None:
        if self._stream:
            self._call("ZSTD_freeDStream", self._stream)
        self._stream = 0

    def _call(self, name: str, *arguments: int) -> int:
        function = Function(_ctypes.dlsym(self._handle, name))
        function.argtypes = (Pointer,) * len(arguments)
        result: int = function(*arguments)
        return result


def _address(data: bytearray) -> int:
    """It stays as long as `data` does, which is never resized."""
    return _ctypes.addressof((Long * (len(data) // 8)).from_buffer(data))
