"""The mount of a stack of overlay layers (Documentation/filesystems/overlayfs.rst).

Every mount says userxattr, also where it need not: opaque directories that were made under trusted.overlay mean nothing
under user.overlay, and the other way round, and deleted files would come back.
"""

import errno
import os

from treesmith.linux.mount import (
    IDMAP,
    NODEV,
    NOSUID,
    PRIVATE,
    RDONLY,
    move_mount,
    new_mount,
    open_tree,
    set_attributes,
)


class Merged:
    """The view of two or more layers; or of one or more and an upper. volatile: nothing is ever synced."""

    __slots__ = ("_folders", "_mounts", "_options", "_upper")

    def __init__(self, layers: str, lowers: "list[str]", upper: "str | None" = None, volatile: bool = False) -> None:
        self._folders = [f"{layers}/{lid}/fs" for lid in lowers]
        self._upper = upper is not None
        if upper is not None:
            self._folders.append(f"{layers}/{upper}")  # fs and work: both must come by one mount
        self._options: tuple[tuple[str, str | None], ...] = (("userxattr", None),)
        if volatile:
            self._options += (("volatile", None),)
        self._mounts: list[int] = []
        try:
            for folder in self._folders:
                self._mounts.append(open_tree(folder))
                set_attributes(self._mounts[-1], 0, propagation=PRIVATE)
        except BaseException:
            self.close()
            raise

    def idmap(self, userns: int) -> None:
        # The merged mount cannot be id-mapped (EINVAL), its layers can.
        for mount in self._mounts:
            set_attributes(mount, IDMAP, userns=userns)

    def attach(self, scratch: int) -> int:
        # overlayfs cannot clone a detached mount (EPERM): the layers need a place in this mount namespace.
        os.fchdir(scratch)
        names = [f"{number:x}" for number in range(len(self._mounts))]
        for name, mount in zip(names, self._mounts, strict=True):
            os.mkdir(name)
            move_mount(mount, scratch, name)
        return self._mounted(names, NODEV)

    def mount(self) -> int:
        here = os.open(".", os.O_PATH | os.O_DIRECTORY)
        opened: list[int] = []
        try:
            for folder in self._folders:
                opened.append(os.open(folder, os.O_PATH | os.O_DIRECTORY))
            os.chdir("/proc/self/fd")  # where they have short names
            return self._mounted([str(fd) for fd in opened], NODEV | NOSUID)
        finally:
            os.fchdir(here)
            for fd in (here, *opened):
                os.close(fd)

    def close(self) -> None:
        while self._mounts:
            os.close(self._mounts.pop())

    def _mounted(self, names: "list[str]", attributes: int) -> int:
        """The overlay of what has these names in the working directory."""
        options: tuple[tuple[str, str | None], ...] = (*self._options, ("source", "treesmith"))
        if self._upper:
            options += (("upperdir", f"{names[-1]}/fs"), ("workdir", f"{names[-1]}/work"))
            names = names[:-1]
        else:
            attributes |= RDONLY
        try:
            return new_mount("overlay", attributes, (*(("lowerdir+", name) for name in names), *options))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        # Before Linux 6.5 there is no lowerdir+, and an option is 255 bytes at most: hence the short names.
        return new_mount("overlay", attributes, (("lowerdir", ":".join(names)), *options))
