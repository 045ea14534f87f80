"""A layer's blob as a tar stream: none, gzip or zstd, told apart by their first bytes; its digests and size checked."""

import hashlib
import io
import os
import zlib
from queue import Empty, Queue
from threading import Thread
from typing import BinaryIO, Protocol, Self

from treesmith.errors import Error
from treesmith.linux.zstd import MAGIC, Zstd

_BLOCK = 1 << 18
_AHEAD = 8  # pieces of 1 MiB at most
_ALGORITHMS = {"sha256": 64, "sha512": 128}  # hex digits


def digested(digest: str) -> tuple[str, str]:
    """(algorithm, hex) of "sha256:…". Error: not a digest, or of an algorithm that proves nothing."""
    algorithm, _, value = digest.partition(":")
    if len(value) != _ALGORITHMS.get(algorithm, -1) or not set(value) <= set("0123456789abcdef"):
        raise Error(f"{digest[:100]!r} is no digest", "sha256: or sha512:, and lower-case hex digits")
    return algorithm, value


def check(file: io.BufferedReader, digest: str, size: int, what: str) -> None:
    """Read `file` to its end, and go back to its start. Error: it is not what `digest` and `size` (bytes) say."""
    algorithm, value = digested(digest)
    found = os.fstat(file.fileno()).st_size
    if found != size:
        raise Error(f"{what} is damaged: {found} bytes instead of {size}", digest)
    real = hashlib.file_digest(file, algorithm).hexdigest()
    file.seek(0)
    if real != value:
        raise Error(f"{what} is not what it should be", f"its digest is {algorithm}:{real}, not {digest}")


class Stream:
    """What the blob `file` unpacks to, hashed as it is read; a with-block. `limit`: bytes; more are an Error.

    Both are done ahead, in a thread of its own: nothing may be forked meanwhile.
    """

    def __init__(self, file: io.BufferedReader, diff: str, limit: int) -> None:
        self._diff = diff
        self._digest = hashlib.new(digested(diff)[0])
        self._left = limit
        start = file.read(len(MAGIC))
        file.seek(0)
        source: _Source = Zstd(file) if start == MAGIC else _Gzip(file) if start[:2] == b"\x1f\x8b" else _Plain(file)
        self._ahead = _Ahead(source, self._digest)
        self._rest = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes (of -1: a piece); b"" at the end only."""
        if not self._rest:
            piece = self._ahead.read()
            self._left -= len(piece)
            if self._left < 0:
                raise Error("a layer unpacks to more than it may", hint="raise size in the step, if it is meant to")
            self._rest = memoryview(piece)
        taken = self._rest if size < 0 else self._rest[:size]
        self._rest = self._rest[len(taken) :]
        return bytes(taken)

    def finish(self) -> None:
        """At the end of it. Error: it was not what its diffID says."""
        while self.read():
            pass
        found = f"{self._digest.name}:{self._digest.hexdigest()}"
        if found != self._diff:
            raise Error("a layer does not hold what the image's configuration says", f"{found}, not {self._diff}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ahead.close()


class _Source(Protocol):
    def read(self) -> bytes: ...
    def close(self) -> None: ...


class _Ahead:
    """The pieces of a source, which a thread reads and hashes: zlib and hashlib let others run meanwhile."""

    def __init__(self, source: _Source, digest: "hashlib._Hash") -> None:
        self._source, self._digest = source, digest
        self._pieces: Queue[bytes | BaseException] = Queue(_AHEAD)
        self._closing = False
        self._last: bytes | BaseException | None = None
        self._thread = Thread(target=self._run)
        self._thread.start()

    def read(self) -> bytes:
        """b"" at the end only, when the digest is that of all of it; what reading failed with is raised."""
        piece = self._pieces.get() if self._last is None else self._last
        if not isinstance(piece, bytes):
            self._last = piece
            raise piece
        if not piece:
            self._last = piece
        return piece

    def close(self) -> None:
        self._closing = True
        try:
            while True:  # one that waits for room goes on, and ends
                self._pieces.get_nowait()
        except Empty:
            self._thread.join()
        self._source.close()

    def _run(self) -> None:
        try:
            while not self._closing and (piece := self._source.read()):
                self._digest.update(piece)
                self._pieces.put(piece)
            self._pieces.put(b"")
        except BaseException as error:
            self._pieces.put(error)


class _Plain:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self) -> bytes:
        return self._file.read(_BLOCK)

    def close(self) -> None:
        pass


class _Gzip:
    """One member after the other: gzip(1) makes several of several files, and so does pigz's kind."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._data = b""
        self._member: zlib._Decompress | None = None

    def read(self) -> bytes:
        while True:
            if not self._data:
                self._data = self._file.read(_BLOCK)
                if not self._data and not self._member:
                    return b""
            at_end = not self._data
            if self._member is None:
                self._member = zlib.decompressobj(wbits=31)
            try:
                piece = self._member.decompress(self._data, 1 << 20)
            except zlib.error as error:
                raise Error("a gzip stream is broken", str(error)) from error
            if self._member.eof:
                self._data = self._member.unused_data
                self._member = None
            else:
                self._data = self._member.unconsumed_tail
            if piece:
                return piece
            if at_end and self._member:
                raise Error("a gzip stream is cut off")

    def close(self) -> None:
        pass
