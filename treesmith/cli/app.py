"""Typer, made from the declarations: help, completion, errors, and every command line that the lean reader declines."""

import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any

import typer
import typer.core

from treesmith import __version__
from treesmith.errors import UsageError
from treesmith.names import nearest
from treesmith.verbs.declare import Argument, Option, Verb
from treesmith.verbs.reader import spellings
from treesmith.verbs.table import FAMILIES, GLOBALS, VERBS, VERSION

# What all complaints about a command line are. Typer exports this one alone, and before 0.27 no base of it.
Complaint: Any = typer.BadParameter.__base__
_TYPES: dict[str, Any] = {"flag": bool, "text": str, "int": int, "many": list[str], "maybe": str}


def read(word: str, arguments: list[str]) -> dict[str, Any] | int:
    """What the verb's handler is to be called with; or, when help or the like was printed, the exit status."""
    verbs = [VERBS[word]] if word else list(VERBS.values())
    argv = [word, *arguments] if word else arguments
    try:
        result: dict[str, Any] | int = app(verbs)(argv, prog_name="treesmith", standalone_mode=False)
    except Complaint as error:
        raise _told(error, word) from None
    return result


def complete() -> None:
    """Answer the shell, which asks through the environment; ends the process."""
    app(VERBS.values())(prog_name="treesmith")


def app(verbs: Iterable[Verb]) -> typer.Typer:
    """An application of these verbs. Calling a verb returns what its handler is to be called with."""
    markup = "rich" if sys.stdout.isatty() else None
    made = typer.Typer(
        cls=_Verbs,
        help="Root filesystem trees: build, snapshot, launch.",
        rich_markup_mode=markup,  # type: ignore[arg-type]  # Typer's own type is not exported
        pretty_exceptions_enable=False,
        suggest_commands=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    made.callback()(_function("treesmith", [_option(option) for option in (*GLOBALS, VERSION)], lambda values: None))
    for verb in sorted(verbs, key=lambda verb: FAMILIES.index(verb.family)):
        parameters = [_argument(argument) for argument in verb.arguments]
        parameters += [_option(option) for option in verb.options]
        parameters += [_option(option, panel="Anywhere") for option in (*GLOBALS, VERSION)]
        function = _function(verb.name, parameters, _values(verb))
        made.command(
            verb.name, cls=_Verb, help=verb.help, epilog=verb.more or None, rich_help_panel=verb.family
        )(function)  # fmt: skip
    return made


class _Verb(typer.core.TyperCommand):
    """A verb's usage line comes from its declaration: Typer would write {TREE}, and knows nothing of `-- COMMAND`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return VERBS[self.name or ""].usage()


class _Verbs(typer.core.TyperGroup):
    """Plain help shows the families too, as the drawn one does."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return ["[OPTIONS]", "VERB", "[ARGUMENTS]"]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for family in FAMILIES:
            rows = [(verb.name, verb.help) for verb in VERBS.values() if verb.family == family]
            with formatter.section(family):
                formatter.write_dl(rows)


def _argument(argument: Argument) -> inspect.Parameter:
    absent: dict[str, Any] = {"maybe": "", "any": []}
    default = typer.Argument(
        absent.get(argument.count, ...),
        metavar=argument.metavar,
        help=argument.help,
        show_default=False,
        autocompletion=_completer(argument.complete),
    )
    return _parameter(argument.name, default, list[str] if argument.several else str)


def _option(option: Option, panel: str | None = None) -> inspect.Parameter:
    names = [f"--{option.name}"] + ([f"-{option.short}"] if option.short else [])
    default = typer.Option(
        list(option.default) if isinstance(option.default, tuple) else option.default,
        *names,
        help=option.help,
        metavar=option.metavar or None,
        show_default=False,
        rich_help_panel=panel,
        autocompletion=_completer(option.complete),
        is_eager=option is VERSION,
        callback=_print_version if option is VERSION else None,
    )
    return _parameter(option.dest, default, _TYPES[option.kind])


def _parameter(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _function(
    name: str, parameters: list[inspect.Parameter], result: Callable[[dict[str, Any]], Any]
) -> Callable[..., Any]:
    """A function with the signature that Typer looks for, which returns what `result` makes of its arguments."""

    def function(**values: Any) -> Any:
        return result(values)

    function.__name__ = name
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {}
    return function


def _values(verb: Verb) -> Callable[[dict[str, Any]], dict[str, Any]]:
    many = {option.dest for option in verb.options if option.kind == "many"}
    many |= {argument.name for argument in verb.arguments if argument.several}

    def result(values: dict[str, Any]) -> dict[str, Any]:
        values.pop(VERSION.dest)
        return {name: tuple(value or ()) if name in many else value for name, value in values.items()}

    return result


def _print_version(value: bool) -> None:
    if value:
        print(f"treesmith {__version__}")
        raise typer.Exit


def _completer(complete: str | tuple[str, ...]) -> Callable[..., list[str]] | None:
    if not complete:
        return None

    def offer(ctx: typer.Context, incomplete: str) -> list[str]:
        from treesmith.cli import completers

        if isinstance(complete, tuple):
            words = list(complete)
        else:
            store = ctx.params.get("store") or (ctx.parent.params.get("store") if ctx.parent else "") or ""
            words = completers.words(complete, store)
        return [word for word in words if word.startswith(incomplete)]

    return offer


def _told(error: Any, word: str) -> UsageError:
    """Typer's complaint in treesmith's form."""
    message = error.format_message().removesuffix(".")
    brief = message[:1].lower() + message[1:]
    hint = f"usage: treesmith {' '.join([word, *VERBS[word].usage()])}" if word else "treesmith --help"
    option = getattr(error, "option_name", "")
    if not word and "command" in brief:
        brief = "a verb is missing"
    if word and option and "no such option" in brief:
        brief = f"no such option: {option}"
        known = [spelling.removeprefix("--") for spelling in spellings(VERBS[word]) if spelling.startswith("--")]
        likely = nearest(option.lstrip("-"), known)
        hint = f"did you mean --{likely}?" if likely else f"treesmith {word} --help"
    elif word and VERBS[word].starts and "extra argument" in brief:
        hint = f"a command stands behind `--`: treesmith {word} {VERBS[word].arguments[0].metavar} -- COMMAND…"
    return UsageError(brief, hint=hint)
