"""Roots to start things in: a static busybox in a plain folder, and a view of any folder."""

import os
import shutil
from pathlib import Path

from treesmith.linux.call import AT_FDCWD
from treesmith.linux.mount import IDMAP, NODEV, NOSUID, PRIVATE, open_tree, set_attributes

BUSYBOX = "/bin/busybox"  # Debian's busybox-static


class Folder:
    """A View of a plain folder."""

    def __init__(self, path: Path) -> None:
        self.fd = open_tree(str(path), AT_FDCWD)
        set_attributes(self.fd, NODEV, propagation=PRIVATE)

    def idmap(self, userns: int) -> None:
        set_attributes(self.fd, IDMAP, userns=userns)

    def attach(self, scratch: int) -> int:
        return self.fd

    def mount(self) -> int:
        set_attributes(self.fd, NOSUID | NODEV)
        return self.fd

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def busybox(root: Path) -> Path:
    """A root with /bin full of busybox, root and a user in its /etc/passwd."""
    for name in ("bin", "etc", "root", "tmp", "home/me"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    os.chown(root / "home/me", 1000, 1000)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for applet in os.popen(f"{BUSYBOX} --list").read().split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000:me:/home/me:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\ntty:x:5:\nstaff:x:50:me\nme:x:1000:\n")
    return root
