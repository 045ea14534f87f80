"""A directory that is a root as it stands."""

import os

from treesmith.linux.mount import IDMAP, NODEV, NOSUID, PRIVATE, RDONLY, open_tree, set_attributes


class Plain:
    """The view of a directory. The mount is private: a shared one would hand what is mounted in it to the host."""

    __slots__ = ("_mount",)

    def __init__(self, path: str, read_only: bool) -> None:
        self._mount = open_tree(path)
        set_attributes(self._mount, NODEV | (RDONLY if read_only else 0), propagation=PRIVATE)

    def fileno(self) -> int:
        return self._mount

    def idmap(self, userns: int) -> None:
        set_attributes(self._mount, IDMAP, userns=userns)

    def attach(self, scratch: int) -> int:
        return self._given()

    def mount(self) -> int:
        set_attributes(self._mount, NOSUID)
        return self._given()

    def close(self) -> None:
        if self._mount >= 0:
            os.close(self._given())

    def _given(self) -> int:
        mount, self._mount = self._mount, -1
        return mount
