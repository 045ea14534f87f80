"""dpkg's database: deb-control(5)."""

from treesmith.archive.read import read


def debian(root: int) -> dict[str, str]:
    """NAME:ARCH -> version of every package that dpkg calls installed."""
    status = read(root, "var/lib/dpkg/status").decode(errors="replace")
    found = {}
    for stanza in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line[0].isspace())
        if fields.get("Status", "").endswith(" installed"):
            found[f"{fields.get('Package')}:{fields.get('Architecture')}"] = fields.get("Version", "")
    return found
