"""What is said of a secret, however it comes in pieces."""

from hypothesis import given
from hypothesis import strategies as st

from treesmith.veil import Veil

TEXTS = st.text("abcd\n", max_size=40).map(str.encode)


def seen(veil: Veil, pieces: list[bytes]) -> bytes:
    return b"".join(map(veil.take, pieces)) + veil.end()


@given(secret=TEXTS, text=TEXTS, cuts=st.lists(st.integers(0, 60), max_size=6))
def test_no_line_of_it_is_seen(secret: bytes, text: bytes, cuts: list[int]) -> None:
    said = text[:20] + secret + text[20:]
    ends = [*sorted(cuts), len(said)]
    pieces = [said[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    lines = [line for line in secret.splitlines() if len(line) >= 4]
    found = seen(Veil([secret]), pieces)
    assert not [line for line in lines if line in found]
    assert lines or found == said


def test_the_rest_is_as_it_was() -> None:
    veil = Veil([b"hunter22\nhunter\n", b"x"])
    assert veil.take(b"hun") == b""
    assert veil.take(b"ter2") == b""
    assert veil.take(b"2 hunter\nxx") == b"*** ***\n"
    assert veil.end() == b"xx"


def test_a_line_without_an_end() -> None:
    veil = Veil([b"hunter"])
    said = seen(veil, [b"h" * 70_000, b"unte", b"r" * 70_000, b"hunter"])
    assert said == b"h" * 69_999 + b"***" + b"r" * 69_999 + b"***"
