"""A sandbox's link without root: pasta(1) passes on what is sent and received, with sockets of the user's own."""

import os

from treesmith.errors import Error
from treesmith.linux.process import PR_SET_PDEATHSIG, prctl
from treesmith.sandbox import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_SIGKILL = 9


class Tap:
    """As `link.Link`. forwards: pasta's options for ports. Inside it is eth0, with the host's address: IPv4 only."""

    __slots__ = ("_forwards", "_pid", "_program", "address")

    def __init__(self, program: str, forwards: "tuple[str, ...]") -> None:
        self.address = ""  # none that others could use
        self._program = program
        self._forwards = forwards
        self._pid = 0

    def connect(self, pid: int) -> None:
        """Outside: it works on return, in the network namespace of `pid`. Error: pasta's own words."""
        self.close()  # after a reboot inside
        argv = ["pasta", "--foreground", "--quiet", "--config-net", "--ipv4-only", "--netns", f"/proc/{pid}/ns/net"]
        argv += ["--ns-ifname", "eth0", "--no-map-gw", "--tcp-ns", "none", "--udp-ns", "none", *self._forwards]
        argv += ["--pid", "/dev/stdout"]  # which it writes when all is ready
        said = os.memfd_create("pasta", os.MFD_CLOEXEC)
        reading, writing = os.pipe()
        parent = os.getpid()
        try:
            self._pid = os.fork()
            if not self._pid:
                _execute(self._program, argv, writing, said, parent)
            os.close(writing)
            writing = -1
            if not os.read(reading, 32):
                words = os.pread(said, 4096, 0).decode(errors="replace").strip()
                raise Error("no private network: pasta ended", words, "--network host, or none")
        finally:
            for fd in (said, reading, writing):
                if fd >= 0:
                    os.close(fd)

    def configure(self) -> None:
        """Inside, while it may still."""
        with open("/proc/sys/net/ipv4/ping_group_range", "w") as file:  # ping needs no capability then: icmp(7)
            file.write("0 65535")

    def close(self) -> None:
        """Again is harmless."""
        if self._pid:
            os.kill(self._pid, _SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0


def _execute(program: str, argv: "list[str]", out: int, errors: int, parent: int) -> "NoReturn":
    """In a session of its own, out of the terminal's reach; it ends with us, as it sees no namespace end."""
    try:
        signals.defaults()
        os.setsid()
        prctl(PR_SET_PDEATHSIG, _SIGKILL)
        if os.getppid() != parent:
            os._exit(127)  # it was killed before that
        null = os.open("/dev/null", os.O_RDWR)
        for number, fd in enumerate((null, out, errors)):
            os.dup2(fd, number)
        os.execv(program, argv)
    finally:
        os._exit(127)
