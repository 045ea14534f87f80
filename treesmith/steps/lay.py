"""A folder of the host's in a root, as the source that something is made of."""

import os
import stat
import time

from treesmith.archive.layer import Layer, Meta
from treesmith.steps.inputs import entries
from treesmith.steps.step import Step


def check(step: Step, option: str, path: str) -> None:
    """Error: something in it is of no use to anybody."""
    for _, entry in entries(path):
        if stat.S_IFMT(os.lstat(entry).st_mode) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            raise step.error(f"{entry} is neither a file, a folder nor a link", option)


def lay(path: str, root: int, to: str = "", owner: int = 0) -> None:
    """All of the folder, at `to` in the root. It gets one time: the caller's times are in no key, and make goes by
    them."""
    now = time.time_ns()
    with Layer(root) as layer:
        for name, entry in entries(path):
            status = os.lstat(entry)
            meta = Meta(stat.S_IMODE(status.st_mode), uid=owner, gid=owner, time=now)
            place = f"{to}/{name}".rstrip("/") if to else name
            if stat.S_ISLNK(status.st_mode):
                layer.link(place, os.readlink(entry), meta)
            elif stat.S_ISREG(status.st_mode):
                with open(entry, "rb") as file:
                    layer.file(place, file, meta)
            else:
                layer.folder(place, meta)
