"""One step of a recipe, checked and with its variables filled in."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from treesmith.errors import UsageError
from treesmith.inventory import Archive, archives
from treesmith.names import recipe_name
from treesmith.steps.lines import line_in
from treesmith.steps.schema import Value


class Lock(NamedTuple):
    """What a step is to make, and nothing else."""

    epoch: int  # unix seconds: nothing in the tree may be younger
    made: Mapping[str, Any]  # what run() of the locked build returned


class Step(NamedTuple):
    number: int  # from 1, within its recipe
    kind: str
    options: Mapping[str, Value]  # defaults filled in; what is absent is not there
    recipe: str  # absolute path of the recipe's file; host paths are relative to its folder
    folder: str
    driver: str = "auto"
    network: bool = False
    env: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()  # names; the values are in no key, tree or record
    name: str = ""  # for messages; not in the key
    lock: Lock | None = None

    @property
    def title(self) -> str:
        """ "step 3: pip", or with the step's name where it has one."""
        return f"step {self.number}: {self.kind}" + (f" ({self.name})" if self.name else "")

    @property
    def whole_title(self) -> str:
        """With the recipe's name: "app: step 3: pip"."""
        return f"{recipe_name(self.recipe)}: {self.title}"

    @property
    def recipe_digest(self) -> str:
        """16 hex digits for the recipe's path."""
        return hashlib.sha256(os.fsencode(self.recipe)).hexdigest()[:16]

    @property
    def archives(self) -> dict[str, Archive]:
        """Those that its lock names, by package."""
        return archives(self.lock.made) if self.lock else {}

    def text(self, option: str) -> str:
        """A string option, or ""."""
        return str(self.options.get(option, ""))

    def texts(self, option: str) -> tuple[str, ...]:
        """An option that is a list of strings, or an empty one."""
        value = self.options.get(option, ())
        return value if isinstance(value, tuple) else (str(value),)

    def integer(self, option: str) -> int:
        """An integer option, or 0."""
        return int(self.text(option) or 0)

    def is_on(self, option: str) -> bool:
        return bool(self.options.get(option, False))

    def error(self, brief: str, option: str = "", details: str = "", hint: str = "") -> UsageError:
        """An error that names the line of `option`, or of the step."""
        line = line_in(self.recipe, ("step", self.number - 1, self.kind, option))
        return UsageError(f"{self.recipe}:{line}: {self.title}: {brief}", details, hint)
