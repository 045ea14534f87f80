"""The lean reader and Typer, made from one table, read alike."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treesmith.cli import app
from treesmith.errors import UsageError
from treesmith.verbs.declare import Verb
from treesmith.verbs.reader import read, spellings, split
from treesmith.verbs.table import GLOBALS, VERBS

JUNK = ["", "-", "--", "---", "-q", "-qv", "-x", "--jso", "--json=", "--json=1", "--help", "-h", "--version", "--log"]
VALUES = ["webapp", "a b", "7", "-7", "007", "1_0", "٣", "12345678901", "x=y", "=", "@0123", "--", "-q", "ü\udcff"]


def by_typer(verb: Verb, arguments: list[str]) -> dict[str, Any] | None:
    try:
        result = app.read(verb.name, list(arguments))
    except UsageError:
        return None
    return result if isinstance(result, dict) else None


@st.composite
def lines(draw: st.DrawFn) -> tuple[Verb, list[str]]:
    """A verb, and whatever somebody might write behind it."""
    verb = draw(st.sampled_from(list(VERBS.values())))
    known = sorted(spellings(verb))
    joined = st.builds("{}={}".format, st.sampled_from(known), st.sampled_from(VALUES))
    words = st.one_of(st.sampled_from(VALUES + JUNK), st.sampled_from(known), joined, st.text(max_size=3))
    return verb, draw(st.lists(words, max_size=7))


@st.composite
def plain_lines(draw: st.DrawFn) -> tuple[Verb, list[str]]:
    """A verb with what it takes, written as people write it."""
    verb = draw(st.sampled_from(list(VERBS.values())))
    word = st.sampled_from(["webapp", "x=y", "", "a b", "@0123"])
    pieces = []
    for argument in verb.arguments:
        least, most = {"one": (1, 1), "maybe": (0, 1), "some": (1, 3), "any": (0, 3)}[argument.count]
        pieces += [[given] for given in draw(st.lists(word, min_size=least, max_size=most))]
    for option in draw(st.lists(st.sampled_from([*verb.options, *GLOBALS]), max_size=4)):
        spelling = f"-{option.short}" if option.short and draw(st.booleans()) else f"--{option.name}"
        value = draw(st.sampled_from(["0", "31"]) if option.kind == "int" else word)
        if option.kind == "flag":
            pieces.append([spelling])
        elif option.kind == "maybe" or (spelling.startswith("--") and draw(st.booleans())):
            pieces.append([f"{spelling}={value}"])
        else:
            pieces.append([spelling, value])
    return verb, [word for piece in draw(st.permutations(pieces)) for word in piece]


@settings(max_examples=600, deadline=None)
@given(lines())
def test_what_the_lean_reader_reads_typer_reads_alike(line: tuple[Verb, list[str]]) -> None:
    request = split([line[0].name, *line[1]])
    lean = read(line[0], request.arguments)
    assert lean is None or lean == by_typer(line[0], request.arguments)


@settings(max_examples=300, deadline=None)
@given(plain_lines())
def test_a_plain_line_is_read_without_typer_and_alike(line: tuple[Verb, list[str]]) -> None:
    request = split([line[0].name, *line[1]])
    lean = read(line[0], request.arguments)
    assert lean is not None
    assert lean == by_typer(line[0], request.arguments)


@given(st.lists(st.sampled_from(["--store", "--store=/s", "-q", "--quiet", "--verbose", "/x"]), max_size=4))
def test_globals_mean_the_same_before_and_behind_the_verb(words: list[str]) -> None:
    before = split([*words, "ls", "--json"])
    if before.word == "ls":
        behind = split(["ls", *words, "--json"])
        assert before.arguments == behind.arguments
        assert by_typer(VERBS["ls"], before.arguments) == by_typer(VERBS["ls"], behind.arguments)


def test_the_first_dashes_cut_off_the_command() -> None:
    request = split(["--store", "/s", "launch", "web", "--user", "me", "--", "sh", "--", "-c"])
    assert request.arguments == ["--store", "/s", "web", "--user", "me"]
    assert request.command == ("sh", "--", "-c")
    assert split(["ls", "--", "x"]).arguments == ["--", "x"]


@pytest.mark.parametrize(
    ("written", "log"),
    [([], None), (["--log"], ""), (["--log=3"], "3"), (["--log", "--json"], ""), (["--store", "--log"], None)],
)
def test_a_bare_log_takes_no_word(written: list[str], log: str | None) -> None:
    request = split(["history", *written, "base"])
    values = read(VERBS["history"], request.arguments)
    assert values is not None
    assert (values["log"], values["tree"]) == (log, "base")
    assert by_typer(VERBS["history"], request.arguments) == values


def test_unknown_leading_options_are_left_to_typer() -> None:
    assert split(["--install-completion"]).word == ""
    assert split(["--quiet", "--help"]).arguments == ["--quiet", "--help"]
    assert split([]).word == ""
