"""The text of one recipe -> Recipe. Strict: what is not in the grammar is an error."""

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from treesmith import steps
from treesmith.errors import NotFoundError, UsageError
from treesmith.names import nearest
from treesmith.recipe import defaults, values
from treesmith.recipe.search import SHIPPED, Found
from treesmith.steps.lines import line_of
from treesmith.steps.schema import Schema, Value

TOP_KEYS = ("description", "arch", "from", "vars", "step", "launch")
STEP_KEYS = ("name", "driver", "network", "env", "secrets")
# The kernel's word for each machine, by every word that is used for it.
ARCHITECTURES = {
    **{word: word for word in ("x86_64", "aarch64", "armv7l", "i686", "ppc64le", "riscv64", "s390x", "loongarch64")},
    **{word: word for word in ("alpha", "m68k", "parisc", "ppc", "ppc64", "sh4", "sparc64")},
    "amd64": "x86_64",
    "arm64": "aarch64",
    "armhf": "armv7l",
    "i386": "i686",
    "ppc64el": "ppc64le",
    "loong64": "loongarch64",
    "hppa": "parisc",
    "powerpc": "ppc",
}
SECRET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)


class Base(NamedTuple):
    """`from`: another recipe, and values for its variables."""

    reference: str
    set: Mapping[str, Value] = {}


class Recipe(NamedTuple):
    name: str
    path: str  # absolute, of the .toml
    description: str
    arch: str  # the kernel's word; "": the base's, else the machine's
    base: Base | None
    set: Mapping[str, Value]  # the variables whose value is not their default
    steps: tuple[steps.Step, ...]
    launch: Mapping[str, Any]  # its own [launch] only
    digest: str  # SHA-256 of the file's text

    @property
    def origin(self) -> str:
        """Which recipe this is, wherever treesmith is installed: its path, or "treesmith:NAME" if it is shipped."""
        return f"treesmith:{self.name}" if self.path.startswith(SHIPPED + "/") else self.path

    def record(self) -> dict[str, Any]:
        """What a tree's record says about its recipe."""
        chosen = {name: list(value) if isinstance(value, tuple) else value for name, value in self.set.items()}
        return {"name": self.name, "path": self.origin, "set": chosen, "digest": self.digest}


class Settings(NamedTuple):
    """Values for a recipe's variables: typed, from another recipe's `from`, or texts, from --set."""

    typed: Mapping[str, Value] = {}
    texts: Mapping[str, str] = {}
    place: str = ""  # FILE:LINE of the `from` that sets them


def parse(text: str, found: Found, settings: Settings) -> Recipe:
    """UsageError, with file and line: not a recipe."""
    return _Parser(text, found.path).recipe(found.name, settings)


class _Parser:
    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.values: dict[str, Value] = {}

    def fail(self, message: str, *where: str | int, hint: str = "") -> NoReturn:
        raise UsageError(f"{self.path}:{line_of(self.text, where)}: {message}", hint=hint)

    def unknown(self, key: str, known: list[str], what: str, *where: str | int) -> NoReturn:
        near = nearest(key, known)
        self.fail(
            f"{what} has no {key!r}", *where, hint=f"did you mean {near}?" if near else f"it has {', '.join(known)}"
        )

    def table(self, value: object, *where: str | int) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.fail(f"{where[-1]} must be a table", *where)
        return value

    def string(self, value: object, *where: str | int) -> str:
        if not isinstance(value, str) or "\0" in value:
            self.fail(f"{where[-1]} must be a string", *where)
        return value

    def recipe(self, name: str, settings: Settings) -> Recipe:
        document = self.document()
        for key in document:
            if key not in TOP_KEYS:
                self.unknown(key, list(TOP_KEYS), "a recipe", key)
        chosen = self.variables(self.table(document.get("vars", {}), "vars"), settings)
        base = self.base(document["from"]) if "from" in document else None
        listed = document.get("step", [])
        if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
            self.fail("steps are written [[step]]", "step")
        made = tuple(self.step(number, table) for number, table in enumerate(listed, 1))
        self.check_bootstrap(base, made)
        launch = self.table(document.get("launch", {}), "launch")
        defaults.check(launch, lambda message, key, hint="": self.fail(message, "launch", key, hint=hint))
        digest = hashlib.sha256(self.text.encode()).hexdigest()
        description = self.string(document.get("description", ""), "description")
        return Recipe(name, self.path, description, self.arch(document), base, chosen, made, launch, digest)

    def document(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text)
        except RecursionError:
            self.fail("not a recipe: nested too deeply")
        except ValueError as error:  # TOMLDecodeError, and an integer of thousands of digits
            message = str(error)
            at = re.search(r" \(at line (\d+), column \d+\)", message)
            line = int(at[1]) if at else max(1, len(self.text.splitlines()))
            brief = message.replace(at[0], "") if at else message
            raise UsageError(f"{self.path}:{line}: not TOML: {brief}") from None

    def arch(self, document: Mapping[str, Any]) -> str:
        if "arch" not in document:
            return ""
        word = self.string(document["arch"], "arch")
        if word not in ARCHITECTURES:
            known = list(ARCHITECTURES)
            self.fail(
                f"no architecture {word!r}", "arch", hint=f"did you mean {nearest(word, known) or ', '.join(known)}?"
            )
        return ARCHITECTURES[word]

    def variables(self, declared: dict[str, Any], settings: Settings) -> dict[str, Value]:
        """Fill `values`; return those that differ from their defaults."""
        for name, default in declared.items():
            if not values.VARIABLE.fullmatch(name) or name in TOP_KEYS:
                reason = "is a word of the grammar" if name in TOP_KEYS else "is not of the form [a-z][a-z0-9_]*"
                self.fail(f"{name!r} cannot be a variable: it {reason}", "vars", name)
            value = values.plain(default)
            if value is None:
                self.fail(
                    f"the variable {name} must be a string, an integer, a bool or a list of strings", "vars", name
                )
            self.values[name] = value
        chosen: dict[str, Value] = {}
        for name, given in (*settings.typed.items(), *settings.texts.items()):
            if name not in self.values:
                near = nearest(name, list(self.values))
                hint = f"did you mean {near}?" if near else f"it has {', '.join(self.values) or 'none'}"
                place = settings.place or f"{self.path}:{line_of(self.text, ('vars',))}"
                raise UsageError(f"{place}: {self.path} has no variable {name!r} to set", hint=hint)
            default = self.values[name]

            def fail(message: str, hint: str = "", name: str = name) -> NoReturn:
                place = settings.place or f"{self.path}:{line_of(self.text, ('vars', name))}"
                raise UsageError(f"{place}: variable {name}: {message}", hint=hint)

            value = values.from_text(str(given), default, fail) if name in settings.texts else given
            if type(value) is not type(default):
                fail(f"must be {values.type_name(default)}, not {values.type_name(value)}")
            if value != default:
                chosen[name] = value
        self.values.update(chosen)
        return chosen

    def base(self, given: object) -> Base:
        table = {"recipe": given} if isinstance(given, str) else given
        if not isinstance(table, dict) or "recipe" not in table:
            self.fail('from must be "RECIPE" or { recipe = "RECIPE", set = { VAR = VALUE } }', "from")
        for key in table:
            if key not in ("recipe", "set"):
                self.unknown(key, ["recipe", "set"], "from", "from", key)
        chosen: dict[str, Value] = {}
        for name, value in self.table(table.get("set", {}), "from", "set").items():
            filled = self.filled(value, f"from.set.{name}", "from", "set", name)
            if filled is not None:
                chosen[name] = filled
        return Base(self.string(table["recipe"], "from", "recipe"), chosen)

    def filled(self, value: object, what: str, *where: str | int, interpolate: bool = True) -> Value | None:
        """A value of the recipe with its variables filled in; None: absent."""
        given = values.plain(value)
        if given is None:
            self.fail(f"{what} must be a string, an integer, a bool or a list of strings", *where)
        if not interpolate:
            return given

        def fail(message: str, hint: str = "") -> NoReturn:
            self.fail(f"{what}: {message}", *where, hint=hint)

        return values.fill(given, self.values, fail)

    def step(self, number: int, table: dict[str, Any]) -> steps.Step:
        where = ("step", number - 1)
        kinds = [key for key in table if key not in STEP_KEYS]
        if not kinds:
            self.fail(f"step {number} has no kind", *where, hint=f"the kinds are {', '.join(steps.known_kinds())}")
        known = []
        for key in kinds:
            try:
                known.append(steps.kind(key).schema)
            except NotFoundError:
                self.unknown(key, [*STEP_KEYS, *steps.known_kinds()], "a step", *where, key)
        if len(known) > 1:
            self.fail(f"step {number} is of two kinds: {' and '.join(kinds)}", *where, kinds[1], hint="write two steps")
        schema = known[0]
        driver = self.string(table.get("driver", "auto"), *where, "driver")
        if driver not in ("auto", *schema.drivers):
            self.fail(
                f"{schema.kind} has no driver {driver!r}", *where, "driver", hint=f"auto, {', '.join(schema.drivers)}"
            )
        network = table.get("network", schema.network)
        if not isinstance(network, bool):
            self.fail("network must be true or false", *where, "network")
        return steps.Step(
            number=number,
            kind=schema.kind,
            options=self.options(schema, table[schema.kind], *where, schema.kind),
            recipe=self.path,
            folder=os.path.dirname(self.path),
            driver=driver,
            network=network,
            env=self.environment(table.get("env", {}), *where, "env"),
            secrets=self.secrets(table.get("secrets", []), *where, "secrets"),
            name=self.string(table.get("name", ""), *where, "name"),
        )

    def environment(self, given: object, *where: str | int) -> dict[str, str]:
        if not isinstance(given, dict) or not defaults.is_environment(given):
            self.fail("env must be a table of NAME = STRING", *where)
        filled = {}
        for name, text in given.items():
            value = self.filled(text, f"env.{name}", *where, name) if text else ""
            if isinstance(value, tuple):
                self.fail(f"env.{name} cannot be a list", *where, name)
            if value is not None:
                filled[name] = values.said(value)
        if any("\0" in value for value in filled.values()):
            self.fail("env may not hold a zero byte", *where)
        return filled

    def secrets(self, given: object, *where: str | int) -> tuple[str, ...]:
        if not isinstance(given, list) or not all(isinstance(name, str) and SECRET.fullmatch(name) for name in given):
            self.fail("secrets must be a list of names", *where)
        return tuple(given)

    def options(self, schema: Schema, given: object, *where: str | int) -> dict[str, Value]:
        if not isinstance(given, dict):
            if not schema.main:
                self.fail(f"{schema.kind} takes a table of options", *where, hint=f"it has {', '.join(schema.options)}")
            given = {schema.main: given}
        found: dict[str, Value] = {}
        for name, value in given.items():
            if name not in schema.options:
                self.unknown(name, list(schema.options), schema.kind, *where, name)
            filled = self.filled(value, f"{schema.kind}.{name}", *where, name, interpolate=schema.interpolated)
            if filled is None:
                continue
            if wrong := schema.options[name].wrong(filled):
                self.fail(f"{schema.kind}: {name} {wrong}", *where, name)
            found[name] = filled
        for name, option in schema.options.items():
            if name not in found and option.required:
                self.fail(f"{schema.kind} needs {name}", *where, hint=option.help)
            if name not in found and option.default is not None:
                found[name] = option.default
        if schema.one_of and sum(name in found for name in schema.one_of) != 1:
            self.fail(f"{schema.kind} needs exactly one of {', '.join(schema.one_of)}", *where)
        return found

    def check_bootstrap(self, base: Base | None, made: tuple[steps.Step, ...]) -> None:
        """Without `from`, and only then, step 1 fills an empty root."""
        if not made and not base:
            self.fail("a recipe needs a step or a `from`")
        for step in made:
            can = steps.kind(step.kind).schema.bootstraps
            empty = step.number == 1 and not base
            if empty and can == "never":
                hint = 'name a base, as from = "debian-base", or begin with debootstrap'
                self.fail(f"step 1: {step.kind} needs a tree to work in", "step", 0, hint=hint)
            if not empty and can == "only":
                self.fail(f"step {step.number}: {step.kind} needs an empty root", "step", step.number - 1, step.kind)
