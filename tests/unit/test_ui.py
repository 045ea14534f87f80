"""What people see, on a terminal and in a pipe."""

import contextlib
import io
import os
from collections.abc import Callable

import pytest

from treesmith.errors import Error
from treesmith.ui.complain import complain, unexpected
from treesmith.ui.heard import Heard
from treesmith.ui.listing import Styled, aligned, fields, table
from treesmith.ui.progress import Drawn, Lines, Quiet, progress
from treesmith.ui.words import clock, duration, size


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)


def shown(function: Callable[..., object], *arguments: object, **options: object) -> str:
    """What a terminal gets, of both streams."""
    screen = Terminal()
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen), contextlib.suppress(Error):
        function(*arguments, **options)
    return screen.getvalue()


def test_an_error_says_what_why_and_what_to_do(capsys) -> None:
    complain(Error("apt-get failed", "line one\nline two", "look at the log"))
    assert capsys.readouterr().err == (
        "treesmith: apt-get failed\n  line one\n  line two\n  look at the log\n"
    )  # fmt: skip


def test_an_error_is_coloured_on_a_terminal_unless_told_not_to(monkeypatch) -> None:
    assert "\033[" in shown(complain, Error("no"))
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown(complain, Error("no")) == "treesmith: no\n"


def test_a_tool_cannot_drive_the_terminal_through_an_error(capsys) -> None:
    complain(Error("x\033]0;owned\a", "a\rb\x9b1m\udcff"))
    text = capsys.readouterr().err
    assert all(mark.isprintable() or mark == "\n" for mark in text)
    assert "\\x1b]0;owned" in text


def test_an_unforeseen_failure_is_one_line_or_all_of_it(capsys) -> None:
    try:
        os.rmdir("/nonexistent/x")
    except OSError as error:
        unexpected(error, verbose=False)
        short = capsys.readouterr().err
        unexpected(error, verbose=True)
        long = capsys.readouterr().err
    assert short.startswith("treesmith: /nonexistent/x: No such file or directory\n")
    assert "--verbose" in short
    assert "Traceback" not in short
    assert "Traceback" in long
    assert 'rmdir("/nonexistent/x")' in long


def test_a_plain_table_is_aligned_and_has_no_trailing_space() -> None:
    rows = [("webapp", "12 B", "a\tb"), (Styled("x", "red"), "1.5 MiB", "")]
    assert aligned(("name", "size", "from"), rows, frozenset({"size"})) == [
        "NAME       SIZE  FROM",
        "webapp     12 B  a\tb",
        "x       1.5 MiB",
    ]


def test_an_empty_table_is_its_heading_in_a_pipe(capsys) -> None:
    table(("name", "id"), [], empty="no trees")
    assert capsys.readouterr().out == "NAME  ID\n"


def test_a_terminal_gets_a_drawn_table() -> None:
    text = shown(table, ("name", "id"), [("webapp[bold]", Styled("@01", "dim"))])
    assert "webapp[bold]" in text
    assert "\033[2m@01" in text
    assert shown(table, ("name", "id"), [], empty="no trees") == "(no trees)\n"


def test_fields_indent_what_has_several_lines(capsys) -> None:
    fields([("name", "web"), ("steps", "one\ntwo")])
    assert capsys.readouterr().out == "name   web\nsteps  one\n       two\n"


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "unknown"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (123 << 20, "123 MiB"), (5 << 50, "5120 TiB")],
)
def test_sizes(count, text) -> None:
    assert size(count) == text


def test_times() -> None:
    assert [duration(1.26), duration(12.3), duration(125)] == ["1.3 s", "12 s", "2 min 5 s"]
    assert clock(65.9) == "1:05"


@pytest.mark.parametrize(
    ("lines", "note", "counted"),
    [
        (["Get:1 http://deb.debian.org/debian bookworm InRelease [151 kB]"], "fetching lists bookworm", (1, 0)),
        (
            ["Get:2 http://deb.debian.org/debian bookworm/main amd64 Packages [8792 kB]"],
            "fetching lists bookworm/main",
            (1, 0),
        ),
        (
            [
                "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.",
                "Get:1 http://deb.debian.org/debian bookworm/main amd64 libexpat1 amd64 2.5.0-1 [99.9 kB]",
                "Get:2 http://deb.debian.org/debian bookworm/main amd64 python3 amd64 3.11.2-1+b1 [26.3 kB]",
            ],
            "downloading python3",
            (2, 2),
        ),
        (
            [
                "1 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.",
                "Unpacking libexpat1:amd64 (2.5.0-1) ...",
                "Unpacking python3 (3.11.2-1) ...",
                "Setting up libexpat1:amd64 (2.5.0-1) ...",
            ],
            "setting up libexpat1:amd64",
            (1, 2),
        ),
        (["Processing triggers for libc-bin (2.36-9) ..."], "triggers of libc-bin", (1, 0)),
        (["I: Retrieving libacl1 2.3.1-3"], "downloading libacl1", (1, 0)),
        (["I: Configuring libc6:amd64..."], "setting up libc6:amd64", (1, 0)),
        (["I: Unpacking the base system..."], "Unpacking the base system...", (1, 0)),
        (["Collecting flask==3.0"], "collecting flask==3.0", (1, 0)),
        (["  Downloading flask-3.0.0-py3-none-any.whl (99 kB)"], "downloading flask-3.0.0-py3-none-any.whl", (1, 0)),
        (["Installing collected packages: click, flask"], "installing click, flask", (1, 0)),
        (["npm http fetch GET 200 https://registry.npmjs.org/express 123ms"], "fetching express", (1, 0)),
        (["compiling...", ""], "compiling...", (0, 0)),
    ],
)
def test_what_package_managers_say(lines, note, counted) -> None:
    heard = Heard()
    for line in lines:
        heard.line(line + "\n")
    assert heard.note == note
    assert (heard.done, heard.total) == counted


def work(report: Quiet, fail: bool = False) -> None:
    with report:
        report.begin(1, 2, "apt: python3")
        report.line("Setting up python3 (3.11) ...\n")
        report.tick()
        report.end("")
        report.begin(2, 2, "run: make")
        report.line("\033[31mred\n")
        report.say("a word")
        if fail:
            raise Error("no")
        report.end("kept")


def test_progress_in_a_pipe_is_plain_lines(capsys) -> None:
    work(progress(quiet=False, verbose=False))
    lines = [line.rsplit(" (", 1)[0] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["[1/2] apt: python3", "[1/2] done", "[2/2] run: make", "a word", "[2/2] kept"]


def test_verbose_progress_streams_the_tool_and_quiet_nothing(capsys) -> None:
    work(progress(quiet=False, verbose=True))
    text = capsys.readouterr().err
    assert "    Setting up python3 (3.11) ...\n" in text
    assert "\\x1b[31mred" in text
    work(progress(quiet=True, verbose=True))
    assert capsys.readouterr() == ("", "")


def test_a_failed_step_is_marked_in_either_form(capsys) -> None:
    text = shown(lambda: work(Drawn(), fail=True))
    assert text.count("✓") == text.count("✗") == 1
    assert text.endswith("\n"), "the cursor is on a line of its own"
    assert "\033[?25h" in text, "the cursor is shown again"
    with pytest.raises(Error):
        work(Lines(), fail=True)
    assert "[2/2] failed" in capsys.readouterr().err


def made() -> Quiet:
    report = progress(quiet=False, verbose=False)
    work(report)
    print(type(report).__name__)
    return report


def test_a_terminal_gets_a_live_line() -> None:
    text = shown(made)
    for part in ("Drawn", "1/2", "apt: python3", "✓", "kept", "a word", "\033[3"):
        assert part in text


@pytest.mark.parametrize(("name", "value", "kind"), [("TERM", "dumb", "Lines"), ("NO_COLOR", "1", "Drawn")])
def test_a_dumb_terminal_gets_lines_and_a_colourless_one_no_colours(monkeypatch, name, value, kind) -> None:
    monkeypatch.setenv(name, value)
    text = shown(made)
    assert kind in text
    assert "\033[3" not in text
