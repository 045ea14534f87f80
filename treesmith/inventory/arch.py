"""pacman's database of what is installed."""

import os

from treesmith.linux.file import open_inside

_DATABASE = "var/lib/pacman/local"


def arch(root: int) -> dict[str, str]:
    """NAME -> version, of the database's folders, which are called NAME-VERSION-RELEASE."""
    try:
        folder = open_inside(root, _DATABASE, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return {}
    try:
        parts = [name.rsplit("-", 2) for name in sorted(os.listdir(folder))]
    finally:
        os.close(folder)
    return {part[0]: f"{part[1]}-{part[2]}" for part in parts if len(part) == 3}
