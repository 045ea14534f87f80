"""What CRIU's images lack, or say of one machine alone. Pure.

An image is two words of magic and entries, each its length and a protobuf message (criu.org/Images). Of a message we
know the fields that we change; all else stays as it is.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

EXE = 0x7FFFFFF0  # an id that CRIU, which counts from 1, gives to no file
NAME = "exe"  # what the program in memory is called to `criu restore --inherit-fd`
USERNS = "userns-"
_MAGIC = 8  # bytes
_USERNS = bytes.fromhex("1943565406494755")
_FILE, _VMA = 12, 14  # of mm_entry: the file that is executed, and what is mapped where
_MAPPED, _STATUS, _IN_MEMORY = 4, 7, 1 << 14  # of vma_entry: the file; a flag of the status


def exe(mm: bytes) -> bytes:
    """mm-1.img: the first process executes and maps the file EXE. CRIU takes what it executes, a program in memory, for
    one that is only mapped: it makes a new one for the mappings, and none to execute."""
    (entry,) = _entries(mm)
    fields = list(_fields(entry))
    old = next(value for number, value, _ in fields if number == _FILE)
    changed = b""
    for number, value, raw in fields:
        if number == _FILE:
            changed += _number(_FILE, EXE)
        elif number == _VMA and isinstance(value, bytes) and (_MAPPED, old) in ((n, v) for n, v, _ in _fields(value)):
            changed += _bytes(_VMA, b"".join(map(_of_exe, _fields(value))))
        else:
            changed += raw
    return mm[:_MAGIC] + _entry(changed)


def _of_exe(field: "tuple[int, int | bytes, bytes]") -> bytes:
    number, value, raw = field
    if number == _MAPPED:
        return _number(number, EXE)
    return _number(number, value & ~_IN_MEMORY) if number == _STATUS and isinstance(value, int) else raw


def with_exe(files: bytes) -> bytes:
    """files.img: and the file EXE is one that is handed over."""
    owner = b"".join(_number(field, 0) for field in (1, 2, 3, 4, 5))
    name = _bytes(6, NAME.encode())
    regular = _number(1, EXE) + _number(2, 0) + _number(3, 0) + _bytes(5, owner) + name + _number(9, 1)
    return files + _entry(_number(1, 1) + _number(2, EXE) + _bytes(3, regular))


def userns(first: int, count: int) -> bytes:
    """userns-N.img: 0 to `count` are the ids from `first` on."""
    extent = _number(1, 0) + _number(2, first) + _number(3, count)
    return _USERNS + _entry(_bytes(1, extent) + _bytes(2, extent))


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


def _fields(message: bytes) -> "Iterator[tuple[int, int | bytes, bytes]]":
    """(number, a number or what has a length, the field as it is encoded)."""
    at = 0
    while at < len(message):
        start = at
        tag, at = _read(message, at)
        value, after = _read(message, at)
        at = {0: after, 1: at + 8, 2: after + value, 5: at + 4}[tag & 7]
        yield tag >> 3, message[after:at] if tag & 7 == 2 else value, message[start:at]


def _read(message: bytes, at: int) -> "tuple[int, int]":
    value = shift = 0
    while True:
        value |= (message[at] & 0x7F) << shift
        shift += 7
        at += 1
        if message[at - 1] < 0x80:
            return value, at
