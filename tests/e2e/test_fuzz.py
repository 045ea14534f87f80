"""Whatever is typed, really launched: it runs, or says in a line what is wrong; and nothing is left."""

import odd
from hypothesis import HealthCheck, given, settings
from launching import Trees

STATUSES = (0, 125, 126, 127)  # a bind may lie over the command, or a variable hide it


@settings(
    max_examples=40, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(odd.some(tuple(name for name in odd.OPTIONS if name != "port"), 3))
def test_options_that_make_no_sense(trees: Trees, typed: list[tuple[str, str]]) -> None:
    done = trees.run("launch", "-q", "base", *(f"--{name}={word}" for name, word in typed), "--", "true")
    assert done.returncode in STATUSES, (typed, done)
    assert "Traceback" not in done.stderr, (typed, done)
    if done.returncode:
        assert done.stderr.startswith("treesmith: "), (typed, done)
