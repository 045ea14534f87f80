"""The declarations, and the hints for verbs that are not there."""

import keyword

import pytest

from treesmith.verbs.foreign import ELSEWHERE, unknown
from treesmith.verbs.reader import spellings
from treesmith.verbs.table import FAMILIES, GLOBALS, VERBS, VERSION

verbs = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)


@verbs
def test_a_verb_is_declared_soundly(verb) -> None:
    options = [*verb.options, *GLOBALS, VERSION]
    spelled = [option.name for option in options] + [option.short for option in options if option.short]
    assert len(spellings(verb)) == len(spelled), "two options are written alike"
    names = [option.dest for option in options] + [argument.name for argument in verb.arguments]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and not keyword.iskeyword(name) for name in names)
    assert verb.family in FAMILIES
    for text in [verb.help, *(part.help for part in [*verb.options, *verb.arguments])]:
        assert text.endswith(".")
        assert len(text) <= 80
    assert all(argument.count == "one" for argument in verb.arguments[:-1]), "only the last may take more or fewer"
    assert not [option for option in verb.options if "json" in option.name and '"version": 1' not in verb.more]


def test_a_foreign_verb_gets_a_hint_and_no_alias() -> None:
    assert not ELSEWHERE.keys() & VERBS.keys()
    for word, meant in ELSEWHERE.items():
        error = unknown(word)
        assert error.status == 2
        assert meant in str(error)
        assert meant in VERBS


def test_a_mistyped_verb_gets_the_nearest() -> None:
    assert "'snapshot'" in unknown("snapshto").hint
    assert "did you mean" not in unknown("zzz").hint


def test_statuses_of_a_verb_that_starts_commands() -> None:
    launch, ls = VERBS["launch"], VERBS["ls"]
    assert [launch.status(status) for status in (0, 1, 2, 127)] == [0, 125, 125, 127]
    assert [ls.status(status) for status in (0, 1, 2)] == [0, 1, 2]
