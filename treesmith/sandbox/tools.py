"""The host's own programs as a root, for those that make trees. The tree is a further view, at /target.

What they need of the sandbox, tried on Debian 12:

debootstrap 1.0.128: no more than a command, if the sandbox furnishes /target with /proc, /sys and /dev. Then it finds
    every device there and mounts none. It needs `container=lxc` in its environment, or it tries mknod (EPERM in a user
    namespace) and gives up. Not furnished it goes on without /dev/null, even with SYS_ADMIN: scripts then write their
    rubbish to a plain file of that name (its setup_devices_simple succeeds though every mknod failed).
mmdebstrap 1.3: `--mode=root`, SYS_ADMIN (the set BOOTSTRAP), and /target empty, not furnished: tar would change the
    mode of /proc. It mounts /proc, /sys and the devices itself, for as long as it needs them. `--skip=chroot/mount`
    does without SYS_ADMIN, but scripts then have no /dev/null and no /proc.
Both: keyrings by absolute path below /usr/share or bound in; with the host's network they copy its resolv.conf into
    the tree. apt finds none of the host's configuration, proxies included.
"""

import os

from treesmith.linux.call import AT_FDCWD
from treesmith.linux.mount import (
    NODEV,
    NOSUID,
    PRIVATE,
    RDONLY,
    move_mount,
    new_mount,
    open_tree,
    set_attributes,
)  # fmt: skip

_TOP = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")  # links into /usr, where it is merged
# Never shadow, keys of ssh, or apt's configuration, which may hold passwords.
_ETC = (
    "alternatives", "ca-certificates", "ca-certificates.conf", "dpkg", "group", "host.conf", "ld.so.cache",
    "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "nsswitch.conf", "passwd", "perl", "pki", "protocols",
    "python3", "rpc", "services", "ssl",
)  # fmt: skip
_EMPTY = ("dev", "proc", "run", "sys", "tmp", "target", "root", "var", "var/cache", "var/lib", "var/tmp")


class Tools:
    """A View: a tmpfs with the host's /usr and a little of its /etc, read-only and not id-mapped.

    So root inside is nobody to them: what only the host's root may read cannot be read. The tmpfs lasts as long as
    the sandbox; /target is where a tree goes.
    """

    __slots__ = ("_links", "_mounts")

    def __init__(self) -> None:
        self._links: list[tuple[str, str]] = []
        self._mounts: list[tuple[int, str, bool]] = []  # detached mount, path, whether a folder
        self._open("usr")
        for name in _TOP:
            if os.path.islink(f"/{name}"):
                self._links.append((name, os.readlink(f"/{name}")))
            else:
                self._open(name)
        for name in _ETC:
            self._open(f"etc/{name}")

    def _open(self, path: str) -> None:
        try:
            mount = open_tree(f"/{path}", AT_FDCWD)
        except FileNotFoundError:
            return
        set_attributes(mount, RDONLY | NOSUID | NODEV, propagation=PRIVATE)
        self._mounts.append((mount, path, os.fstat(mount).st_mode & 0o170000 == 0o040000))

    def idmap(self, userns: int) -> None:
        """Nothing: the host's files stay the host's."""

    def attach(self, scratch: int) -> int:
        root = new_mount("tmpfs", NOSUID | NODEV, (("mode", "0755"),))
        os.mkdir("tools", dir_fd=scratch)
        move_mount(root, scratch, "tools")
        for name in (*_EMPTY, "usr", "etc"):
            os.mkdir(name, 0o755, dir_fd=root)
        for name in ("tmp", "var/tmp"):
            os.chmod(name, 0o1777, dir_fd=root)
        for name, target in self._links:
            os.symlink(target, name, dir_fd=root)
        for mount, path, is_folder in self._mounts:
            if not is_folder:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644, dir_fd=root))
            elif path != "usr":
                os.mkdir(path, 0o755, dir_fd=root)
            move_mount(mount, root, path)
        return root

    def mount(self) -> int:
        raise NotImplementedError("the host's programs are only ever a sandbox's root")

    def close(self) -> None:
        while self._mounts:
            os.close(self._mounts.pop()[0])
