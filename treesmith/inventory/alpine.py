"""apk's database of what is installed: lines of one letter, a colon and a value; a package ends with an empty one."""

from treesmith.archive.read import read

ALPINE = "lib/apk/db/installed"


def alpine(root: int) -> dict[str, str]:
    """NAME -> version; none where there is no database."""
    found = {}
    said = read(root, ALPINE) or read(root, f"usr/{ALPINE}")
    for paragraph in said.decode(errors="replace").split("\n\n"):
        fields = dict(line.split(":", 1) for line in paragraph.splitlines() if line[1:2] == ":")
        if "P" in fields:
            found[fields["P"]] = fields.get("V", "")
    return dict(sorted(found.items()))
