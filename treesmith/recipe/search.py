"""Where recipes are found by name: NAME.toml or NAME/recipe.toml in the first folder that has one."""

import os
import stat
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import treesmith
from treesmith.errors import NotFoundError, UsageError
from treesmith.names import check_name, is_name, nearest, recipe_name

SHIPPED = os.path.realpath(os.path.join(os.path.dirname(treesmith.__file__), "recipes"))
SYSTEM = "/etc/treesmith/recipes"


class Found(NamedTuple):
    name: str
    path: str  # of the .toml
    shadowed: bool = False  # a folder that is asked earlier has one of this name


def folders(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The search path: the user's own first, then the system's, then the shipped."""
    config = environ.get("XDG_CONFIG_HOME", "")
    if not config.startswith("/"):
        config = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    return os.path.join(config, "treesmith/recipes"), SYSTEM, SHIPPED


def is_path(reference: str) -> bool:
    return "/" in reference or reference.endswith(".toml")


def find(reference: str, search: Sequence[str], relative_to: str = ".") -> Found:
    """The recipe that `reference`, a name or a path, means. NotFoundError: none does."""
    if is_path(reference):
        return _at(reference, os.path.normpath(os.path.join(relative_to, reference)))
    name = check_name(reference)
    for folder in search:
        paths = [path for path in _paths(folder, name) if os.path.lexists(path)]
        if len(paths) > 1:
            raise UsageError(f"two recipes are called {name}", "\n".join(paths), "remove or rename one")
        if paths:
            return Found(name, paths[0])
    near = nearest(name, [found.name for found in listing(search)])
    hint = f"did you mean {near}?" if near else "a recipe's path needs a / or ends in .toml: ./" + name
    raise NotFoundError(f"no recipe {name!r}", "looked in " + ", ".join(search), hint)


def _at(reference: str, path: str) -> Found:
    path = os.path.abspath(path)
    if os.path.isdir(path):
        path = os.path.join(path, "recipe.toml")
    if not os.path.lexists(path):
        raise NotFoundError(f"no recipe at {reference}", f"there is no {path}")
    name = recipe_name(path)
    if not is_name(name):
        raise UsageError(
            f"{path} cannot be a recipe",
            f"a tree cannot be called {name!r}: 1 to 64 of a-z 0-9 . _ -, the first a letter or digit",
            "rename the file, or the folder of a recipe.toml",
        )
    return Found(name, path)


def listing(search: Sequence[str]) -> list[Found]:
    """Every recipe on the search path, sorted by name, the shadowed after those that shadow them."""
    found: list[Found] = []
    for folder in search:
        try:
            entries = sorted(os.listdir(folder))
        except OSError:
            continue  # a folder of the search path need not be there
        taken = {recipe.name for recipe in found}
        for name in sorted({entry.removesuffix(".toml") for entry in entries}):
            for path in _paths(folder, name):
                if is_name(name) and _is_file(path):
                    found.append(Found(name, path, name in taken))
    return sorted(found, key=lambda recipe: recipe.name)


def _paths(folder: str, name: str) -> tuple[str, str]:
    return os.path.join(folder, name + ".toml"), os.path.join(folder, name, "recipe.toml")


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False
