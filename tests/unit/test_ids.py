import os
from pathlib import Path

import pytest

from treesmith import ids


def test_ranges_do_not_overlap(tmp_path: Path) -> None:
    taken = [ids.allocate(str(tmp_path)) for _ in range(50)]
    starts = {one.first for one in taken}
    assert len(starts) == 50
    assert all(524288 <= first <= 1879048191 and first % 65536 == 0 for first in starts)
    for one in taken:
        one.close()
        one.close()
    assert not os.listdir(tmp_path)


def test_a_held_range_is_not_given_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "LAST_SLOT", ids.FIRST_SLOT + 1)
    first, second = ids.allocate(str(tmp_path)), ids.allocate(str(tmp_path))
    assert {first.first, second.first} == {8 * 65536, 9 * 65536}
    assert ids.abandoned(str(tmp_path)) == []
    first.close()
    again = ids.allocate(str(tmp_path))
    assert again.first == first.first
    again.close()
    second.close()


def test_delegated_ranges_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "LAST_SLOT", ids.FIRST_SLOT + 1)
    monkeypatch.setattr(ids, "delegations", lambda path: [("me", 8 * 65536 + 65535, 1)])
    for _ in range(5):
        one = ids.allocate(str(tmp_path))
        assert one.first == 9 * 65536
        one.close()


def test_garbage_in_subuid_is_no_range(tmp_path: Path) -> None:
    (tmp_path / "subuid").write_text("me:100000:65536\nnonsense\n:::\nyou:x:1\n\nshe:1:2:3\n")
    assert ids.delegations(str(tmp_path / "subuid")) == [("me", 100000, 65536)]
    assert ids.delegations(str(tmp_path / "missing")) == []


def test_a_dead_holders_range_is_found_with_its_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "LAST_SLOT", ids.FIRST_SLOT + 1)
    pid = os.fork()
    if not pid:
        ids.allocate(str(tmp_path)).note("where to look")
        os._exit(0)
    os.waitpid(pid, 0)
    (name,) = os.listdir(tmp_path)
    other = ids.allocate(str(tmp_path))  # not the dead one's: it must be cleared first
    assert other.path != str(tmp_path / name)
    ((held, note),) = ids.abandoned(str(tmp_path))
    assert (held.path, note) == (str(tmp_path / name), "where to look")
    assert ids.abandoned(str(tmp_path)) == []
    held.close()
    other.close()
    assert not os.listdir(tmp_path)
