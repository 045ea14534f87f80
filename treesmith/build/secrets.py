"""--secret NAME=FILE or NAME=env:VAR: read only if a step that asks for it will run, and kept in memory alone."""

import os
from collections.abc import Collection, Mapping

from treesmith.errors import UsageError


def read(given: Mapping[str, str], needed: Collection[str]) -> dict[str, bytes]:
    """The secrets that are needed. UsageError: one is not given, or cannot be read."""
    missing = sorted(set(needed) - set(given))
    if missing:
        raise UsageError(
            f"a step asks for the secret {missing[0]}", hint=f"--secret {missing[0]}=FILE, or {missing[0]}=env:VAR"
        )
    return {name: _value(name, given[name]) for name in needed}


def _value(name: str, source: str) -> bytes:
    if source.startswith("env:"):
        variable = source.removeprefix("env:")
        if variable not in os.environ:
            raise UsageError(f"the secret {name}: there is no variable {variable} in the environment")
        return os.fsencode(os.environ[variable])
    try:
        with open(source, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"the secret {name} cannot be read", f"{source}: {error.strerror}") from None
