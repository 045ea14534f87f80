"""TOML -> Recipe: the grammar of recipes, strict, and where they are found. README, "Recipes", has it for people.

Every error is a UsageError that names file and line, and the nearest word that would have been right.
"""

import os
import stat
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from treesmith.errors import Error, NotFoundError, UsageError
from treesmith.recipe.defaults import merged
from treesmith.recipe.grammar import Base, Recipe, Settings, parse
from treesmith.recipe.search import Found, find, folders, listing
from treesmith.steps.lines import line_in
from treesmith.steps.schema import Value

_LARGEST = 1 << 20  # bytes; a recipe is written by hand


class Listed(NamedTuple):
    """A recipe as a listing shows it; `wrong` is what keeps it from being used."""

    name: str
    path: str
    description: str
    base: str
    shadowed: bool
    wrong: str = ""


def chain(
    reference: str,
    texts: Mapping[str, str] | None = None,
    search: Sequence[str] | None = None,
    typed: Mapping[str, Value] | None = None,
) -> tuple[Recipe, ...]:
    """The recipe that `reference`, a name or a path, means, after those it is `from`, the first of them first.

    texts: --set, for the recipe itself; typed: values for its variables that --set goes before. Every recipe's arch is
    filled in. UsageError, NotFoundError.
    """
    places = folders() if search is None else tuple(search)
    found = find(reference, places)
    made: list[Recipe] = []
    settings = Settings(typed=typed or {}, texts=texts or {})
    while True:
        recipe = parse(_text(found), found, settings)
        made.insert(0, recipe)
        if recipe.base is None:
            return _with_arch(made)
        found = _found_base(recipe, recipe.base, places)
        if any(found.path == other.path for other in made):
            loop = " from ".join([*(other.name for other in reversed(made)), found.name])
            raise UsageError(f"{_line(recipe)}: from goes round in a circle", loop)
        settings = Settings(typed=recipe.base.set, place=_line(recipe))


def recipes(search: Sequence[str] | None = None) -> list[Listed]:
    """Every recipe on the search path. One that is wrong is listed as such."""
    places = folders() if search is None else tuple(search)
    result = []
    for found in listing(places):
        try:
            recipe = parse(_text(found), found, Settings())
            base = recipe.base.reference if recipe.base else ""
            result.append(Listed(found.name, found.path, recipe.description, base, found.shadowed))
        except Error as error:
            result.append(Listed(found.name, found.path, "", "", found.shadowed, error.brief))
    return result


def _found_base(recipe: Recipe, base: Base, places: Sequence[str]) -> Found:
    try:
        return find(base.reference, places, os.path.dirname(recipe.path))
    except (NotFoundError, UsageError) as error:
        raise UsageError(f"{_line(recipe)}: from: {error.brief}", error.details, error.hint) from None


def _line(recipe: Recipe) -> str:
    return f"{recipe.path}:{line_in(recipe.path, ('from',))}"


def _text(found: Found) -> str:
    try:
        with open(found.path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"{found.path}:1: not a recipe: not a regular file")
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{found.path}:1: cannot be read", str(error.strerror)) from None
    if len(data) > _LARGEST:
        raise UsageError(f"{found.path}:1: not a recipe: larger than {_LARGEST >> 20} MiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{found.path}:{line}: not a recipe: not UTF-8") from None


def _with_arch(made: Sequence[Recipe]) -> tuple[Recipe, ...]:
    """Base first: each has its base's architecture, the first the machine's, unless it says its own."""
    arch = os.uname().machine
    result: list[Recipe] = []
    for recipe in made:
        if result and recipe.arch and recipe.arch != arch:
            line = line_in(recipe.path, ("arch",))
            raise UsageError(f"{recipe.path}:{line}: arch is {recipe.arch}, but {result[-1].name}'s is {arch}")
        arch = recipe.arch or arch
        result.append(recipe._replace(arch=arch))
    return tuple(result)


__all__ = ["Base", "Found", "Listed", "Recipe", "chain", "find", "folders", "merged", "recipes"]
