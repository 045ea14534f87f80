import pytest

from treesmith import names
from treesmith.errors import UsageError


@pytest.mark.parametrize("name", ["a", "debian-base", "0", "a.b_c-d", "x" * 64])
def test_good_names(name: str) -> None:
    assert names.check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "../x", "a/b", ".a", "-a", "_a", "A", "ä", "a b", "x" * 65, "a.toml", "a@1", "a~1", "a\n", "a\0"]
)
def test_bad_names(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a tree"):
        names.check_name(name)


def test_entries_are_names_and_superseded_names() -> None:
    assert names.is_entry("webapp")
    assert names.is_entry(names.superseded("webapp", 3))
    for text in ("webapp@", "webapp@x", "@1", "web@1@2", names.throwaway("webapp")):
        assert not names.is_entry(text)


def test_a_throwaway_is_named_after_its_tree() -> None:
    assert names.throwaway("webapp@2").startswith("webapp~")


def test_ids() -> None:
    assert names.is_id(names.new_id())
    assert names.new_id() != names.new_id()
    for text in ("", "abc", "G" * 16, "0" * 17):
        assert not names.is_id(text)


def test_nearest() -> None:
    assert names.nearest("snapshto", ["snapshot", "seal"]) == "snapshot"
    assert names.nearest("zzz", ["snapshot"]) == ""
