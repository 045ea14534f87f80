"""What is committed to /etc with, and how its history is read."""

from treesmith import etckeeper
from treesmith.etckeeper.history import Commit, parsed
from treesmith.steps import Inputs, Setting, Step, gather


def test_a_command_as_a_message() -> None:
    assert etckeeper.message(["sh", "-c", "echo\n\x1b[31m 1"]) == "sh -c echo  [31m 1"
    assert etckeeper.message(["x" * 101]) == "x" * 100 + " …"


def test_a_line_of_history() -> None:
    assert parsed("ab\x1f5\x1fme\x1fa \x1f b") == Commit("ab", 5, "me", "a \x1f b")
    for line in ("", "fatal: no", "ab\x1f\x1fme\x1fx", "ab\x1f-5\x1fme\x1fx", "ab\x1f٣\x1fme\x1fx", "ab\x1f5\x1fme"):
        assert parsed(line) is None
    assert parsed(f"ab\x1f{10**11}\x1fme\x1fx") is None  # in no year that can be shown


def test_the_title_is_in_the_key_where_it_is_in_the_tree() -> None:
    """Of what comes after, and only of that."""
    step = Step(3, "run", {"command": "true"}, "/recipes/app/recipe.toml", "/recipes/app", name="it")
    before = Setting("x86_64", (Inputs({"step.kind": "etckeeper"}, True), Inputs({"step.kind": "run"}, True)))
    assert gather(step, before).facts["step.title"] == "app: step 3: run (it)"
    assert "step.title" not in gather(step, Setting("x86_64", before.below[1:])).facts
    first = Step(2, "etckeeper", {}, "/recipes/app.toml", "/recipes")
    assert gather(first, Setting("x86_64")).facts["step.title"] == "app: step 2: etckeeper"
