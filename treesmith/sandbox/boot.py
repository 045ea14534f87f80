"""An init as the first process, and what its end means; and how it, or a command, says that it is ready.

https://systemd.io/CONTAINER_INTERFACE, sd_notify(3), reboot(2), "Behavior inside PID namespaces".
"""

import _socket
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.sandbox.process import Process

NOTIFY = "/dev/notify"
_READY = b"READY=1"
_LONGEST = 4096  # bytes of a message
_CREDENTIALS = 12  # bytes of a struct ucred: pid, uid, gid
_SIGHUP, _SIGINT = 1, 2


def speaks(init: str) -> bool:
    """Inside, after the pivot: whether it says when it is ready, as of all inits systemd does."""
    return os.path.basename(os.path.realpath(init)) == "systemd"


def listen() -> "_socket.socket":
    """Inside, after the pivot: the socket at NOTIFY."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_PASSCRED, 1)
    sock.bind(NOTIFY)
    os.chmod(NOTIFY, 0o666)  # for a command that is not root
    return sock


def says_ready(process: "Process") -> bool:
    """Outside: take one message from process.notify. In a system only what the init itself says counts."""
    sock = _socket.socket(fileno=process.notify)
    try:
        # Room for the credentials, which come first, and for no descriptors that somebody sends along.
        room = _socket.CMSG_LEN(_CREDENTIALS)
        message, ancillary, _, _ = sock.recvmsg(_LONGEST, room, _socket.MSG_DONTWAIT | _socket.MSG_CMSG_CLOEXEC)
    except BlockingIOError:
        return False
    finally:
        sock.detach()
    said = [data for _, kind, data in ancillary if kind == _socket.SCM_CREDENTIALS]
    if process.boots and not (said and said[0][:4] == process.pid.to_bytes(4, sys.byteorder)):
        return False
    return _READY in message.split(b"\n")


def halted(process: "Process") -> bool:
    """It ended by a halt or poweroff, so by itself and well."""
    return process.killed_by == _SIGINT


def wants_again(process: "Process") -> bool:
    """It ended by a reboot."""
    return process.killed_by == _SIGHUP
