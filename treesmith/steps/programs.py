"""Which of the host's programs a step uses, and its version."""

import re
import shutil

from treesmith.steps.inputs import digest_of
from treesmith.steps.schema import Schema
from treesmith.steps.step import Step

_VERSION = re.compile(rb"""\bVERSION\s*=\s*['"]([0-9][^'"\n]*)['"]""")

# Debian's, where they are called otherwise; "": there is none.
_PACKAGES = {"apk": "", "dnf5": "", "guix": "", "nix": "nix-bin", "pacman": "pacman-package-manager"}


def driver(step: Step, schema: Schema) -> tuple[str, str]:
    """(name, version) of the step's driver: the one it names, or the first of the kind's that the host has.

    The version is read from the program itself, as asking takes mmdebstrap 200 ms; where it does not say, its digest
    stands for it. Error: none is installed.
    """
    wanted = schema.drivers if step.driver == "auto" else (step.driver,)
    for name in wanted:
        if path := shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"):
            with open(path, "rb") as file:
                said = _VERSION.search(file.read(1 << 20))
            return name, said[1].decode(errors="replace") if said else digest_of(path)[:16]
    package = _PACKAGES.get(wanted[-1], wanted[-1])
    hint = f"Debian: apt install {package}" if package else "Debian has no package of it; whoever makes it says how"
    raise step.error(f"{' or '.join(wanted)} is not installed", hint=hint)
