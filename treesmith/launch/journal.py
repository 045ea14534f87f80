"""A system's journal where the host's journalctl(1) finds it, as systemd-nspawn(1)'s --link-journal= has it.

It lies beside the tree's root, where nobody but root comes by: whatever root inside makes in there is of no use to the
host's other users. The host's /var/log/journal has a link to it, by the machine's id. With the tree goes the journal;
the next one that is linked takes the dead link away.
"""

import os

import treesmith
from treesmith.errors import Error
from treesmith.sandbox.sandbox import Bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.store.store import Store

PLACE = "/var/log/journal"  # there and here: systemd-journald.service(8)


def link(store: "Store", home: str, machine: str) -> Bind:
    """home: of the tree. machine: its id, as in machine-id(5). Error: the host keeps none."""
    if treesmith.ROOTLESS:
        raise Error("--link-journal takes root", f"{PLACE} is root's", "treesmith enter NAME -- journalctl")
    if not os.path.isdir(PLACE):
        hint = f"mkdir -p {PLACE} && systemctl restart systemd-journald"
        raise Error("--link-journal: the host keeps no journals", f"{PLACE} is not there", hint)
    _sweep(f"{store.path}/")
    folder, name = f"{home}/journal", f"{PLACE}/{machine}"
    os.makedirs(folder, 0o755, exist_ok=True)
    try:
        os.symlink(folder, name)
    except FileExistsError:
        if not os.path.islink(name) or os.readlink(name) != folder:
            hint = "move it away, if it is not needed"
            raise Error(f"--link-journal: {name} is there, and not ours", "", hint) from None
    return Bind(folder, name, suid=True)


def _sweep(store: str) -> None:
    """What leads to trees of this store that are there no more."""
    for entry in os.scandir(PLACE):
        if entry.is_symlink() and not os.path.exists(entry.path) and os.readlink(entry.path).startswith(store):
            os.unlink(entry.path)
