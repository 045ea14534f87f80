"""recipes."""

import json as encoding
import os
import sys

from treesmith.errors import UsageError
from treesmith.recipe import recipes as known
from treesmith.recipe.search import SHIPPED
from treesmith.ui import listing
from treesmith.verbs.declare import Asked


def recipes(asked: Asked, new: str, from_dockerfile: str, schema: bool, json: bool) -> None:
    if sum(map(bool, (new, from_dockerfile, schema, json))) > 1:
        raise UsageError("--new, --from-dockerfile, --schema and --json are four things", hint="one at a time")
    if new:
        _begin(asked, new)
    elif from_dockerfile:
        _convert(from_dockerfile)
    elif schema:
        from treesmith.recipe.editor import json_schema

        print(encoding.dumps(json_schema(), indent=2))
    else:
        _list(json)


def _begin(asked: Asked, name: str) -> None:
    from treesmith.names import check_name
    from treesmith.recipe.template import template

    path = f"{check_name(name)}.toml"
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(template(name))
    except FileExistsError:
        raise UsageError(f"{path} is there already") from None
    if not asked.quiet:
        print(f"{path}: treesmith build ./{path}")


def _convert(path: str) -> None:
    from treesmith.recipe.configuration import configuration
    from treesmith.recipe.dockerfile import convert

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read", str(error)) from None
    sys.stdout.write(convert(path, text, configuration))


def _list(json: bool) -> None:
    found = [recipe for recipe in known() if not recipe.shadowed]
    if json:
        listing.document(
            recipes=[
                {
                    "name": recipe.name,
                    "description": recipe.description,
                    "from": recipe.base or None,
                    "path": recipe.path,
                    "error": recipe.wrong or None,
                }
                for recipe in found
            ]
        )
        return
    rows: list[listing.Row] = [
        (
            listing.Styled(recipe.name, listing.BOLD),
            recipe.base,
            listing.Styled(_place(recipe.path), listing.DIM),
            listing.Styled(recipe.wrong, listing.RED) if recipe.wrong else recipe.description,
        )
        for recipe in found
    ]
    listing.table(("name", "from", "where", "description"), rows, empty="no recipes")


def _place(path: str) -> str:
    home = os.path.expanduser("~")
    if path.startswith(SHIPPED + "/"):
        return "shipped"
    return "~" + path[len(home) :] if path.startswith(home + "/") else path
