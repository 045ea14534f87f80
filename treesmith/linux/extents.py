"""Where a file's data lie, and whether other files have them too: Documentation/filesystems/fiemap.rst."""

import errno
import fcntl

_FIEMAP, _SYNC = 0xC020660B, 1
_LAST, _UNKNOWN, _SHARED = 0x1, 0x2, 0x2000
_HEADER, _EXTENT, _COUNT = 32, 56, 256  # bytes, bytes, and how many are asked for at a time


def extents(file: int) -> "tuple[int, int] | None":
    """(bytes of data that no other file has, bytes that others may have) of an open file. None: its filesystem does not
    tell."""
    alone = shared = start = 0
    while True:
        buffer = bytearray(_HEADER + _EXTENT * _COUNT)
        words = memoryview(buffer).cast("Q")
        words[0], words[1] = start, (1 << 64) - 1 - start
        words[2], words[3] = _SYNC, _COUNT  # flags with no count of those mapped; how many fit
        try:
            fcntl.ioctl(file, _FIEMAP, buffer)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EBADR):
                return None
            raise
        mapped = words[2] >> 32
        for number in range(mapped):
            at = (_HEADER + number * _EXTENT) // 8
            logical, _, length = words[at : at + 3]
            flags = words[at + 5] & 0xFFFFFFFF
            if flags & _UNKNOWN:
                return None
            if flags & _SHARED:
                shared += length
            else:
                alone += length
            start = logical + length
            if flags & _LAST:
                return alone, shared
        if not mapped:
            return alone, shared
