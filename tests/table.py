"""The contract suite's table: each test with each backend, filesystem and kernel, drawn at the end of a run.

With --table FILE the run's columns go into FILE instead; `table.py FILE...` draws the columns of several runs as one.
"""

import json
import os
import sys
from pathlib import Path

import pytest

WORDS = {"passed": "ok", "failed": "FAIL", "skipped": "skip"}


class Table:
    def __init__(self, path: str | None) -> None:
        self.path = Path(path) if path else None
        self.kernel = ".".join(os.uname().release.split(".")[:2])
        self.cells: dict[str, dict[str, str]] = {}  # column "backend@filesystem@kernel" -> test -> word

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        where, _, test = report.nodeid.partition("::")
        name, bracket, parameters = test.removesuffix("]").partition("[")
        words = parameters.split("-")
        ground = next((word for word in words if "@" in word), "")
        if not bracket or not ground or "contract" not in where:
            return
        words.remove(ground)
        title = " ".join([name.removeprefix("test_").replace("_", " "), *filter(None, ["-".join(words)])])
        word = WORDS[report.outcome]
        if report.outcome == "passed":
            if report.when != "call":
                return
            word = "declared" if ("declared", True) in report.user_properties else word
        column = self.cells.setdefault(f"{ground}@{self.kernel}", {})
        if column.get(title) != "FAIL":
            column[title] = word

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        cells = {name: tests for name, tests in self.cells.items() if set(tests.values()) != {"skip"}}
        if not cells:
            return
        if self.path:
            self.path.write_text(json.dumps(cells))
            return
        terminalreporter.section("the contract: backend, filesystem, Linux")
        for line in drawn(cells):
            terminalreporter.write_line(line)


def drawn(cells: dict[str, dict[str, str]]) -> list[str]:
    """As lines: a head of three, then the tests, what is for all first. "-": the test is not for this column."""
    tests = list(dict.fromkeys(test for column in cells.values() for test in column))
    heads = [column.split("@") for column in cells]
    tests.sort(key=lambda test: -len({head[0] for head in heads if test in cells["@".join(head)]}))
    width = max(len(test) for test in tests)
    rows = [["", *line] for line in zip(*heads, strict=True)]
    rows += [[test, *(column.get(test, "-") for column in cells.values())] for test in tests]
    return ["  ".join([row[0].ljust(width), *(word.ljust(8) for word in row[1:])]).rstrip() for row in rows]


if __name__ == "__main__":
    columns: dict[str, dict[str, str]] = {}
    for path in sys.argv[1:]:
        columns.update(json.loads(Path(path).read_text()))
    print("The contract: backend, filesystem, Linux", *drawn(columns), sep="\n")
