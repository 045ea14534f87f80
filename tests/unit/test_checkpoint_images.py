"""CRIU's images, as far as they are changed."""

import pytest

from treesmith.launch.disk import images

MAGIC = b"\x40\x16\x59\x58\x01\x02\x03\x04"


def image(*messages: bytes) -> bytes:
    return MAGIC + b"".join(len(message).to_bytes(4, "little") + message for message in messages)


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return images.varint(number << 3) + images.varint(value)
    return images.varint(number << 3 | 2) + images.varint(len(value)) + value


def mapped(file: int, status: int) -> bytes:
    return field(14, field(1, 0x400000) + field(4, file) + field(7, status) + field(8, 0))


def test_the_first_process_executes_and_maps_another_file_and_all_else_stays() -> None:
    # a varint of two bytes, the id, a field of 4 bytes, one of 8, and a text
    before, after = b"\x08\xac\x02", b"\x6d\1\2\3\4\x71\1\2\3\4\5\6\7\x08\x7a\x02hi"
    others = mapped(2, 0x4041) + after
    changed = images.exe(image(before + field(12, 1) + mapped(1, 0x4041) + others))
    assert changed == image(before + field(12, images.EXE) + mapped(images.EXE, 0x41) + others)


def test_a_file_is_added() -> None:
    some = image(b"\x08\x01\x10\x05")
    changed = images.with_exe(some)
    assert changed.startswith(some)
    added = changed[len(some) :]
    assert int.from_bytes(added[:4], "little") == len(added) - 4
    assert images.varint(images.EXE) in added and b"\x32\x03exe\x48\x01" in added


def test_other_ids() -> None:
    extent = field(1, 0) + field(2, 1 << 20) + field(3, 65536)
    message = field(1, extent) + field(2, extent)
    assert images.userns(1 << 20, 65536)[8:] == image(message)[8:]


@pytest.mark.parametrize(("value", "encoded"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")])
def test_numbers(value: int, encoded: bytes) -> None:
    assert images.varint(value) == encoded
