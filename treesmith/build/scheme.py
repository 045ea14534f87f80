"""A plan for the store at hand: what `plan` needs is read here, nothing is changed."""

import time
from collections.abc import Mapping, Sequence

from treesmith import plan as planning
from treesmith import recipe, steps
from treesmith.plan import Held, Plan, Present, Wish
from treesmith.recipe import Recipe
from treesmith.steps import Inputs
from treesmith.store import Store


def plan(store: Store | None, reference: str, sets: Mapping[str, str] | None = None, wish: Wish = Wish()) -> Plan:
    """What building the recipe `reference` (a name or a path) would do. store: None, if there is none yet."""
    chain = recipe.chain(reference, sets)
    return scheme(store, chain, planning.gather(chain, steps.gather), wish)


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
