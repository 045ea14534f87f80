"""pacman's databases: of what is installed, and of what a repository holds."""

import os
from collections.abc import Mapping
from io import BytesIO

from treesmith.archive.read import read
from treesmith.inventory.archives import Archive
from treesmith.linux.file import open_inside

ARCH = "var/lib/pacman/local"


def arch(root: int) -> dict[str, str]:
    """NAME -> version, of the database's folders, which are called NAME-VERSION-RELEASE."""
    try:
        folder = open_inside(root, ARCH, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return {}
    try:
        parts = [name.rsplit("-", 2) for name in sorted(os.listdir(folder))]
    finally:
        os.close(folder)
    return {part[0]: f"{part[1]}-{part[2]}" for part in parts if len(part) == 3}


def arch_archives(root: int, mirrors: Mapping[str, str], packages: Mapping[str, str]) -> dict[str, Archive]:
    """Of `packages` (NAME -> version) the archives, by the lists of repositories that are in the tree: repo-add(8).

    mirrors: REPOSITORY -> its URL.
    """
    import tarfile  # late, as for most trees there is no need of it

    found: dict[str, Archive] = {}
    for repository, mirror in mirrors.items():
        data = read(root, f"var/lib/pacman/sync/{repository}.db")
        with tarfile.open(fileobj=BytesIO(data)) as listed:
            for member in listed:
                file = listed.extractfile(member) if member.name.endswith("/desc") else None
                if not file or member.name.rsplit("-", 2)[0] not in packages:
                    continue
                said = _fields(file.read().decode(errors="replace"))
                name = said.get("NAME", "")
                if said.get("VERSION") == packages.get(name) and "SHA256SUM" in said:
                    archive = Archive(f"sha256:{said['SHA256SUM']}", f"{mirror.rstrip('/')}/{said.get('FILENAME')}")
                    found.setdefault(name, archive)  # the first repository that has it is taken
    return found


def _fields(text: str) -> dict[str, str]:
    """%NAME% and the lines below it."""
    paragraphs = (paragraph.split("\n", 1) for paragraph in text.split("\n\n") if "\n" in paragraph)
    return {head.strip().strip("%"): rest.strip() for head, rest in paragraphs}
