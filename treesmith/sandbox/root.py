"""In the child: everything that is mounted, up to the moment when the host is out of sight.

No path of the root is followed but with the root as "/", and nothing is opened in it that could hold us.
"""

import os

from treesmith.errors import Error
from treesmith.linux.call import AT_FDCWD
from treesmith.linux.file import IN_ROOT, NO_MAGICLINKS, open_inside
from treesmith.linux.mount import (
    MNT_DETACH,
    NODEV,
    NOEXEC,
    NOSUID,
    PRIVATE,
    RDONLY,
    move_mount,
    new_mount,
    open_tree,
    pivot_root,
    set_attributes,
    umount,
)  # fmt: skip
from treesmith.sandbox import dev, masks
from treesmith.sandbox.point import Made, attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.sandbox.sandbox import Bind, Sandbox
    from treesmith.sandbox.view import View

# proc and sysfs are EPERM in a user namespace unless a fully visible one stands in its mounts: never one of these.
_HIDEABLE = ("/tmp", "/run", "/var", "/mnt")
_USUAL = ("/run", "/tmp", "/var/tmp")


class Brought:
    """What the parent opened and read outside."""

    __slots__ = ("binds", "files", "sysfs")

    def __init__(self, binds: "list[tuple[Bind, int]]", files: "tuple[tuple[str, bytes], ...]", sysfs: int) -> None:
        self.binds = binds  # with their detached mounts
        self.files = files
        self.sysfs = sysfs  # the host's, detached, or -1


class Root:
    """A root in the making, then in its place."""

    __slots__ = ("dev", "fd", "pts", "scratch")

    def __init__(self, sandbox: "Sandbox", brought: Brought, made: Made, place: str = "") -> None:
        """`place`: where it is made, as PLACE/0.root. `made`: what is to be gone from the tree afterwards, also where
        this fails. Folders that every system has, as /proc and /run, are not among it: the tree may count on them by
        then."""
        if not sandbox.private_users:
            _part_from_the_host()
        self.scratch = _scratch(place)
        usual = Made()
        self.fd = self._attached(sandbox.view, "0")
        proc = self._own("proc", new_mount("proc", NOSUID | NODEV | NOEXEC))
        attributes = RDONLY | NOSUID | NODEV | NOEXEC
        sysfs = self._own("sys", new_mount("sysfs", attributes) if brought.sysfs < 0 else brought.sysfs)
        # Its limits are files there, and belong to the host's root.
        own = 0 if sandbox.private_users else RDONLY
        move_mount(new_mount("cgroup2", own | NOSUID | NODEV | NOEXEC), sysfs, "fs/cgroup")
        self.dev = self._own("dev", dev.make())
        self.pts = dev.fill(self.dev)
        masks.protect(self.scratch, proc, sysfs, sandbox.private_users)
        for number, (view, path) in enumerate(sandbox.views, 1):
            root = self._attached(view, str(number))
            attach(root, self.fd, path, True, usual)
            for name in ("proc", "sys", "dev") if sandbox.furnish else ():
                attach(open_tree(name, self.fd, recursive=True), root, name, True, usual)
        mounts = [(path, _tmpfs(path, size), usual if path in _USUAL else made) for path, size in sandbox.tmpfs]
        for number, (bind, mount) in enumerate(brought.binds):
            if not bind.default or self._lacks(bind.target):
                laid = self._throwaway(f"over{number}", mount) if bind.overlay else mount
                mounts.append((bind.target, laid, made))
        for path, mount, whose in sorted(mounts, key=_depth):  # what lies in another's place comes after it
            attach(mount, self.fd, path, os.fstat(mount).st_mode & 0o170000 == 0o040000, whose)
        self._files([*brought.files, *(item for item in sandbox.defaults if self._lacks(item[0]))], made)
        if sandbox.read_only or sandbox.chroot:
            set_attributes(self.fd, (RDONLY if sandbox.read_only else 0) | (NOSUID if sandbox.chroot else 0))
        # A view may come from a shared mount: what is mounted below it inside must not show up outside.
        set_attributes(self.fd, 0, propagation=PRIVATE, recursive=True)

    def _attached(self, view: "View", name: str) -> int:
        os.mkdir(name, 0o700, dir_fd=self.scratch)
        os.mkdir(f"{name}.root", dir_fd=self.scratch)
        room = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.scratch)
        root = view.attach(room)
        move_mount(root, self.scratch, f"{name}.root")  # before Linux 6.15 nothing can be mounted on a detached mount
        return root

    def _throwaway(self, name: str, lower: int) -> int:
        """A folder's mount, covered by an overlay that takes what is written, and ends with the sandbox."""
        os.mkdir(name, 0o700, dir_fd=self.scratch)
        room = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.scratch)
        move_mount(new_mount("tmpfs", NOSUID | NODEV), room)
        os.close(room)
        room = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.scratch)
        for part in ("lower", "upper", "work"):
            os.mkdir(part, 0o755, dir_fd=room)
        move_mount(lower, room, "lower")
        status = os.fstat(lower)
        os.chown("upper", status.st_uid, status.st_gid, dir_fd=room)
        os.chmod("upper", status.st_mode & 0o7777, dir_fd=room)
        os.fchdir(room)
        options = (("lowerdir", "lower"), ("upperdir", "upper"), ("workdir", "work"), ("userxattr", None))
        mount = new_mount("overlay", NOSUID | NODEV, options)
        os.close(room)
        return mount

    def _own(self, name: str, mount: int) -> int:
        """Mount at a folder directly below the root, which may not be a link: this one nobody leads elsewhere."""
        try:
            os.mkdir(name, 0o755, dir_fd=self.fd)
        except FileExistsError:
            pass
        except OSError as error:
            raise Error(f"/{name} cannot be made in the tree", error.strerror or "") from error
        point = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        if os.fstat(point).st_mode & 0o170000 != 0o040000:
            raise Error(f"/{name} of the tree is not a folder", "treesmith mounts there and does not follow links")
        move_mount(mount, point)
        os.close(point)
        return mount

    def _files(self, wanted: "list[tuple[str, bytes]]", made: Made) -> None:
        if not wanted:
            return
        kept = new_mount("tmpfs", NOSUID | NODEV, (("mode", "0700"), ("size", "16m")))
        os.mkdir("files", dir_fd=self.scratch)
        move_mount(kept, self.scratch, "files")
        for number, (path, content) in enumerate(wanted):
            mode = 0o555 if content.startswith(b"#!") else 0o444
            fd = os.open(str(number), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, mode, dir_fd=kept)
            with open(fd, "wb") as file:
                file.write(content)
            mount = open_tree(str(number), kept)
            set_attributes(mount, RDONLY | NOSUID | NODEV)
            attach(mount, self.fd, path, False, made)
            os.close(mount)

    def _lacks(self, path: str) -> bool:
        try:
            point = open_inside(self.fd, path, os.O_PATH)
        except OSError:
            return True
        status = os.fstat(point)
        os.close(point)
        return status.st_mode & 0o170000 == 0o100000 and not status.st_size

    def enter(self, folder: str) -> None:
        """From here on "/" is this root and nothing else is mounted."""
        try:
            where = open_inside(self.fd, folder, os.O_PATH | os.O_DIRECTORY, resolve=IN_ROOT | NO_MAGICLINKS)
        except OSError as error:
            raise Error(f"{folder} of the tree cannot be the working directory", error.strerror or "") from error
        os.fchdir(self.fd)
        pivot_root(".", ".")
        umount(".", MNT_DETACH)
        os.fchdir(where)
        os.close(where)


def _tmpfs(path: str, size: str) -> int:
    mode = ("mode", "1777" if path.endswith("tmp") else "0755")
    return new_mount("tmpfs", NOSUID | NODEV, (mode, ("size", size)) if size else (mode,))


def _depth(mount: "tuple[str, int, Made]") -> int:
    return len(mount[0].strip("/").split("/"))


def _part_from_the_host() -> None:
    """Mounts that are copied into a new user namespace hand nothing back; others do, where they are shared."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    set_attributes(root, 0, propagation=PRIVATE, recursive=True)
    os.close(root)


def _scratch(place: str) -> int:
    """A tmpfs over one of the host's folders, in our copy of its mounts.

    Never over "/": the umount after the pivot would then detach only the scratch and leave the host's root below ours,
    one setns(2) away.
    """
    scratch = new_mount("tmpfs", NOSUID | NODEV, (("mode", "0700"),))
    place = place or next((path for path in _HIDEABLE if os.path.isdir(path) and not os.path.islink(path)), "")
    if not place:
        raise Error("the host has none of the folders " + " ".join(_HIDEABLE), "one is needed to mount over")
    move_mount(scratch, AT_FDCWD, place)
    return scratch
