"""Which layers only stand together."""

from treesmith.backends.runs import runs


def test_runs() -> None:
    assert runs([]) == []
    assert runs([["a", "b", "c"]]) == [["a", "b", "c"]]
    assert runs([["a", "b", "c"]], {"b"}) == []
    assert runs([["a", "b", "c", "d"]], {"a"}) == [["b", "c", "d"]]
    assert runs([["a", "b", "c"], ["c"]]) == [["a", "b"]]
    assert runs([["a", "b", "c"], ["x", "b", "c"]]) == [["b", "c"]]
    assert runs([["a", "b", "c", "d"], ["b", "c", "d"]]) == [["b", "c", "d"]]
    assert runs([["a"], ["b"], []]) == []
    assert runs([["x", "m", "z"], ["x", "a", "b", "z"]]) == [["a", "b"]]
