"""recipes."""

import os

from treesmith.recipe import recipes as known
from treesmith.recipe.search import SHIPPED
from treesmith.ui import listing
from treesmith.verbs.declare import Asked


def recipes(asked: Asked, json: bool) -> None:
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
