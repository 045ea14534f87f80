"""CRIU's images, as far as they are changed."""

import pytest

from treesmith.launch.disk import images

MAGIC = b"\x40\x16\x59\x58\x01\x02\x03\x04"


def image(*messages: bytes) -> bytes:
    return MAGIC + b"".join(len(message).to_bytes(4, "little") + message for message in messages)


def test_the_first_process_executes_another_file_and_all_else_stays() -> None:
    # a varint of two bytes, the id, a field of 4 bytes, one of 8, and a text
    before, after = b"\x08\xac\x02", b"\x6d\1\2\3\4\x71\1\2\3\4\5\6\7\x08\x7a\x02hi"
    changed = images.exe(image(before + b"\x60\x01" + after))
    assert changed == image(before + b"\x60" + images.varint(images.EXE) + after)


def test_a_file_is_added() -> None:
    some = image(b"\x08\x01\x10\x05")
    changed = images.with_exe(some)
    assert changed.startswith(some)
    added = changed[len(some) :]
    assert int.from_bytes(added[:4], "little") == len(added) - 4
    assert images.varint(images.EXE) in added and b"\x32\x03exe\x48\x01" in added


def test_other_ids() -> None:
    extent = b"\x08\x00\x10" + images.varint(1 << 20) + b"\x18" + images.varint(65536)
    size = bytes([len(extent)])
    expected = image(b"\x0a" + size + extent + b"\x12" + size + extent)
    assert images.mapped(image(b"\x0a\x00"), 1 << 20, 65536) == expected


@pytest.mark.parametrize(("value", "encoded"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")])
def test_numbers(value: int, encoded: bytes) -> None:
    assert images.varint(value) == encoded
