"""dpkg's database: deb-control(5)."""

import re

from treesmith.archive.read import read

_UPGRADE = re.compile(r"Inst (?P<name>[^\s:]+)\S* \[[^]]*\] \((?P<version>\S+) .*\[(?P<arch>[^]]+)\]\)", re.ASCII)


def debian(root: int) -> dict[str, str]:
    """NAME:ARCH -> version of every package that dpkg calls installed."""
    status = read(root, "var/lib/dpkg/status").decode(errors="replace")
    found = {}
    for stanza in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line[0].isspace())
        if fields.get("Status", "").endswith(" installed"):
            found[f"{fields.get('Package')}:{fields.get('Architecture')}"] = fields.get("Version", "")
    return found


def simulated(said: str) -> dict[str, str]:
    """NAME:ARCH -> version of what `apt-get --simulate` would upgrade."""
    found = map(_UPGRADE.match, said.splitlines())
    return {f"{line['name']}:{line['arch']}": line["version"] for line in found if line}
