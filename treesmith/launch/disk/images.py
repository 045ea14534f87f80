"""What CRIU's images lack, or say of one machine alone. Pure.

An image is two words of magic and entries, each its length and a protobuf message (criu.org/Images). Of a message we
know the fields that we change; all else stays as it is.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = 8  # bytes
EXE = 0x7FFFFFF0  # an id that CRIU, which counts from 1, gives to no file
NAME = "exe"  # what the program in memory is called to `criu restore --inherit-fd`


def exe(mm: bytes) -> bytes:
    """mm-1.img: the first process executes the file EXE. CRIU takes it, which lies in memory, for one of the files that
    are only mapped."""
    (entry,) = _entries(mm)
    fields = [(12, varint(12 << 3) + varint(EXE)) if number == 12 else (number, raw) for number, raw in _fields(entry)]
    return mm[:_MAGIC] + _entry(b"".join(raw for _, raw in fields))


def with_exe(files: bytes) -> bytes:
    """files.img: and the file EXE is one that is handed over."""
    owner = b"".join(_number(field, 0) for field in (1, 2, 3, 4, 5))
    name = _bytes(6, NAME.encode())
    regular = _number(1, EXE) + _number(2, 0) + _number(3, 0) + _bytes(5, owner) + name + _number(9, 1)
    return files + _entry(_number(1, 1) + _number(2, EXE) + _bytes(3, regular))


def mapped(userns: bytes, first: int, count: int) -> bytes:
    """userns-N.img: 0 to `count` are the ids from `first` on."""
    extent = _number(1, 0) + _number(2, first) + _number(3, count)
    return userns[:_MAGIC] + _entry(_bytes(1, extent) + _bytes(2, extent))


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def _entry(message: bytes) -> bytes:
    return len(message).to_bytes(4, "little") + message


def _entries(image: bytes) -> "Iterator[bytes]":
    at = _MAGIC
    while at < len(image):
        size = int.from_bytes(image[at : at + 4], "little")
        yield image[at + 4 : at + 4 + size]
        at += 4 + size


def _fields(message: bytes) -> "Iterator[tuple[int, bytes]]":
    """(number, the field as it is encoded)."""
    at = 0
    while at < len(message):
        start = at
        tag, at = _read(message, at)
        size, after = _read(message, at)
        at = {0: after, 1: at + 8, 2: after + size, 5: at + 4}[tag & 7]
        yield tag >> 3, message[start:at]


def _read(message: bytes, at: int) -> "tuple[int, int]":
    value = shift = 0
    while True:
        value |= (message[at] & 0x7F) << shift
        shift += 7
        at += 1
        if message[at - 1] < 0x80:
            return value, at
