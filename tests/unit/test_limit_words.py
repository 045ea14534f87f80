from typing import Any

import pytest

from treesmith import spec
from treesmith.errors import UsageError
from treesmith.sandbox.limits import members


def made(defaults: dict[str, Any] | None = None, **flags: str) -> tuple[int, float, str, int, int]:
    limits = spec.make(defaults or {}, **flags).limits  # type: ignore[arg-type]
    assert limits
    return limits.memory, limits.cpus, limits.cpuset, limits.pids, limits.io_weight


def test_none() -> None:
    assert spec.make({}).limits is None


def test_flags() -> None:
    assert made(memory="512M", cpus="1.5", cpuset="0-1,3", pids="100", io_weight="50") == (
        512 << 20,
        1.5,
        "0-1,3",
        100,
        50,
    )
    assert made(memory="2g")[0] == 2 << 30
    assert made(memory="1048576")[0] == 1 << 20


def test_the_tree_is_heard_and_a_flag_counts_more() -> None:
    defaults = {"memory": "1G", "cpus": 2, "pids": 5}
    assert made(defaults) == (1 << 30, 2.0, "", 5, 0)
    assert made({"memory": 1 << 25}, pids="7") == (1 << 25, 0.0, "", 7, 0)
    assert made(defaults, memory="2G", cpus="0.5") == (2 << 30, 0.5, "", 5, 0)


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        *(("memory", text) for text in ("1", "x", "1.5G", "-1M", "M", "5KB", "1000000000T", "²M")),
        *(("cpus", text) for text in ("0", "-1", "x", ".", "1.2.3", "1e3", "inf", "99999")),
        *(("cpuset", text) for text in ("a", "1-", "-1", "3-1", "1,,2", "99999", "0 1")),
        *(("pids", text) for text in ("0", "1", "-1", "x", "1.5", "99999999")),
        *(("io_weight", text) for text in ("0", "1001", "x")),
    ],
)
def test_nonsense(flag: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"--{flag.replace('_', '-')}"):
        spec.make({}, **{flag: text})  # type: ignore[arg-type]


def test_members() -> None:
    assert members("0-2,7") == {0, 1, 2, 7}
