"""The sandbox as a value. What is not said is not there: no host file, no network, no variable of the environment."""

import treesmith

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.sandbox.limits import Limits
    from treesmith.sandbox.link import Link
    from treesmith.sandbox.tap import Tap
    from treesmith.sandbox.view import View

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What to do where a root cannot be id-mapped.
UNMAPPED = (
    "keep the store on ext4, xfs, btrfs or ZFS 2.2; or launch --private-users no, where root inside is the host's root"
)

NET_ADMIN, SYS_ADMIN, SETFCAP = 12, 21, 31

# capabilities(7). CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP
COMMAND = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31})
# and SYS_ADMIN, for those of the bootstrapping programs that mount: see `tools`.
BOOTSTRAP = COMMAND | {SYS_ADMIN}
# For an init: what systemd-nspawn leaves it, but for MKNOD, which no user namespace honours, and DAC_READ_SEARCH, with
# which files are opened that no path leads to. IPC_OWNER LINUX_IMMUTABLE NET_BROADCAST NET_RAW SYS_PTRACE SYS_ADMIN
# SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TTY_CONFIG LEASE AUDIT_WRITE AUDIT_CONTROL. And NET_ADMIN, of a network of its own.
BOOT = COMMAND | {9, 11, 13, 15, 19, 21, 22, 23, 24, 26, 28, 29, 30}


class Bind:
    """A file or folder of the host, with what is mounted below it, at a path inside; nosuid and nodev."""

    __slots__ = ("default", "idmap", "overlay", "read_only", "source", "suid", "target")

    def __init__(
        self,
        source: str,
        target: str,
        *,
        idmap: bool = True,
        read_only: bool = False,
        suid: bool = False,
        overlay: bool = False,
        default: bool = False,
    ) -> None:
        self.source = source
        self.target = target
        self.idmap = idmap  # owners as on the host; else everything in it belongs to nobody
        self.read_only = read_only
        self.suid = suid  # what is made setuid in it inside may be so on the host
        self.overlay = overlay  # a folder, without what is mounted below it; what is written there is thrown away
        self.default = default  # only where the root has no such file, or an empty one

    @property
    def hands_out(self) -> bool:
        """Whether root inside writes there as the host's root, or without root as the store's owner, and so could leave
        a setuid file to the host's users."""
        return (self.idmap or treesmith.ROOTLESS) and not (self.read_only or self.overlay or self.suid)


class Sandbox:
    """What a program gets. Paths inside are absolute; where nothing is at a mount's target, it is made in the root."""

    __slots__ = (
        "binds", "boot", "capabilities", "chdir", "chroot", "command", "defaults", "env", "files", "filtered",
        "furnish", "hostname", "limits", "link", "nests", "network", "no_new_privs", "no_suid", "no_sync", "notes",
        "notify", "private_users", "read_only", "tmpfs", "tree", "tty", "user", "view", "views",
    )  # fmt: skip

    def __init__(
        self,
        view: "View",
        command: "tuple[str, ...]" = (),
        *,
        env: "dict[str, str] | None" = None,
        user: str = "",
        chdir: str = "/",
        hostname: str = "treesmith",
        network: str = "none",
        link: "Link | Tap | None" = None,
        binds: "tuple[Bind, ...]" = (),
        views: "tuple[tuple[View, str], ...]" = (),
        furnish: bool = False,
        files: "tuple[tuple[str, bytes], ...]" = (),
        defaults: "tuple[tuple[str, bytes], ...]" = (),
        tmpfs: "tuple[tuple[str, str], ...]" = (),
        limits: "Limits | None" = None,
        capabilities: "frozenset[int]" = COMMAND,
        boot: bool = False,
        private_users: bool = True,
        chroot: bool = False,
        notify: bool = False,
        filtered: bool = True,
        nests: bool = False,
        read_only: bool = False,
        no_new_privs: bool = False,
        no_suid: bool = False,
        no_sync: bool = False,
        tty: "tuple[int, int] | None" = None,
        tree: str = "",
        notes: str = "",
    ) -> None:
        self.view = view  # "/"
        self.command = command  # empty: the user's shell
        self.env = {"PATH": PATH} if env is None else env  # whole; HOME, if it is not said, is the user's
        self.user = user  # "", "name", "uid", "uid:gid", "name:group"; of the root's own /etc/passwd and /etc/group
        self.chdir = chdir
        self.hostname = hostname
        self.network = network  # "none": loopback alone; "private": and `link`; "host": its, and its resolv.conf
        self.link = link
        self.binds = binds
        self.views = views  # further roots, each mounted at a path
        self.furnish = furnish  # they get /proc, /sys and /dev as well, for tools that chroot into them
        self.files = files  # read-only, scripts executable, laid over a path from a tmpfs, never written into the root
        self.defaults = defaults  # the same, but only where the root has no such file, or an empty one
        self.tmpfs = tmpfs  # path, and size as tmpfs(5) has it, "" for half of the memory
        self.limits = limits
        self.capabilities = capabilities  # the bounding set
        self.boot = boot  # the command is an init: it is the first process itself, its terminal the console
        self.private_users = private_users  # else ids inside are the host's, and so is root: see `masks`
        self.chroot = chroot  # a plain user, never root, and the host name is the host's; without private users only
        self.notify = notify  # the command says when it is ready: see `boot`; systemd does anyhow
        self.filtered = filtered  # system calls, by `policy`
        self.nests = nests  # user namespaces may be made inside
        self.read_only = read_only
        self.no_new_privs = no_new_privs
        self.no_suid = no_suid  # no file can be made setuid or setgid, if filtered, for the sake of `Bind.hands_out`
        self.no_sync = no_sync  # fsync and its like succeed without doing anything, if filtered: for builds
        self.tty = tty  # (rows, columns): a pty of its own instead of the descriptors handed to `start`
        self.tree = tree  # the id of the tree that it writes to, for `leftovers.clear`
        self.notes = notes  # the file for `point.clear`; "": the root does not outlive whoever holds it
