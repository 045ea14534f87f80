"""lock."""

import os
import tempfile

from treesmith.build import lock as locked
from treesmith.build import lock_path
from treesmith.cli.build import pairs
from treesmith.errors import Error
from treesmith.plan import Wish
from treesmith.store import open_store
from treesmith.verbs.declare import Asked


def lock(asked: Asked, recipe: str, set: tuple[str, ...], name: str, output: str) -> None:
    text = locked(open_store(asked.store), recipe, pairs("--set", "VAR=VALUE", set), Wish(name))
    path = output or lock_path(recipe)
    try:
        _write(path, text)
    except OSError as error:
        hint = "" if output else "--output FILE; then treesmith build --locked=FILE"
        raise Error(f"the lock cannot be written to {path}", str(error.strerror), hint) from None
    if not asked.quiet:
        print(f"{path} has what {name or recipe} was made of")


def _write(path: str, text: str) -> None:
    """All of it, or what was there stays."""
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(path) or ".", delete=False, encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.rename(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
