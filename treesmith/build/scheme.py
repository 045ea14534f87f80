"""A plan for the store at hand: what `plan` needs is read here, nothing is changed."""

import os
import time
from collections.abc import Mapping, Sequence

from treesmith import plan as planning
from treesmith import recipe, steps
from treesmith.errors import Error, NotFoundError, UsageError
from treesmith.plan import Held, Plan, Present, Wish
from treesmith.plan import lock as locks
from treesmith.recipe import Recipe
from treesmith.recipe.search import SHIPPED
from treesmith.steps import Inputs
from treesmith.store import Store


def plan(
    store: Store | None, reference: str, sets: Mapping[str, str] | None = None, wish: Wish = Wish(),
    locked: str | None = None,
) -> Plan:  # fmt: skip
    """What building the recipe `reference` (a name or a path) would do. store: None, if there is none yet."""
    return scheme(store, *read(reference, sets, locked), wish)


def read(
    reference: str, sets: Mapping[str, str] | None = None, locked: str | None = None
) -> tuple[tuple[Recipe, ...], list[list[Inputs]]]:
    """The chain of a recipe, and what its steps read. locked: by this lock, "" for the recipe's own; None: by none.

    Error: the recipe is wrong, or its lock is of something else.
    """
    if locked is None:
        chain = recipe.chain(reference, sets)
        return chain, planning.gather(chain, steps.gather)
    document = _document(locked or lock_path(reference))
    chain = locks.fitted(document, recipe.chain(reference, sets, typed=document.set))
    inputs = planning.gather(chain, steps.gather)
    locks.check(document, chain, inputs)
    return chain, inputs


def lock_path(reference: str) -> str:
    """Where a recipe's own lock is: NAME.lock, beside it. UsageError: it comes with treesmith."""
    found = recipe.find(reference, recipe.folders())
    if found.path.startswith(f"{SHIPPED}/"):
        hint = "treesmith lock --output FILE, then treesmith build --locked=FILE"
        raise UsageError(f"{found.name} comes with treesmith, and its folder is not yours", hint=hint)
    return os.path.join(os.path.dirname(found.path), f"{found.name}.lock")


def _document(path: str) -> locks.Document:
    try:
        with open(path, "rb") as file:
            return locks.parse(file.read(), path)
    except OSError as error:
        hint = "treesmith lock RECIPE writes what its tree was made of" if isinstance(error, FileNotFoundError) else ""
        raise NotFoundError(f"no lock {path}", str(error.strerror), hint) from None


def lock(store: Store, reference: str, sets: Mapping[str, str] | None = None, wish: Wish = Wish()) -> str:
    """The text of a lock for the tree that the recipe was built to. Error: there is none, or it is not as the recipe
    is now, or a step cannot be locked.
    """
    chain, inputs = read(reference, sets)
    plan = scheme(store, chain, inputs, wish)
    if plan.to_make:
        first = plan.to_make[0]
        brief = f"{plan.result.name or plan.result.recipe.name} is not built as its recipe is now"
        what = f"{first.recipe.name}: {first.title}: {first.reason}"
        raise Error(brief, what, f"treesmith build {reference}; what came of it can be locked then")
    tree = store.read(plan.result.tree)
    said = os.environ.get("SOURCE_DATE_EPOCH", "")
    if said and not said.isdecimal():
        raise UsageError(f"SOURCE_DATE_EPOCH is {said!r}", hint="it is seconds since 1970")
    epoch = int(said or tree.created)
    chain = locks.locked(chain, (entry["made"] for entry in tree.steps), epoch)
    return locks.text(chain, planning.gather(chain, steps.gather), epoch)


def scheme(store: Store | None, chain: Sequence[Recipe], inputs: Sequence[Sequence[Inputs]], wish: Wish) -> Plan:
    """The plan for recipes and inputs that are already read."""
    present: dict[str, Present] = {}
    held: dict[str, Held] = {}
    if store:
        for key in planning.keys(chain, inputs):
            if tree := store.by_key(key):
                present[key] = Present(tree.id, tree.created)
        for name in {wish.name or chain[-1].name, *(link.name for link in chain)}:
            if id := store.named(name):
                tree = store.read(id, name)
                held[name] = Held(tree.id, tree.key, tree.kind, tree.recipe, tree.steps)
    return planning.plan(chain, inputs, present, held, int(time.time()), wish)
