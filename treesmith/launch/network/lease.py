"""Addresses handed out: /run/treesmith/network/NAMESPACE/NUMBER, whose lock the supervisor holds while it has that one.

NAMESPACE is the inode of the host's network namespace: what is in another is nobody's business here. NUMBER is the
lower half of the address; a tree gets the same one each time, unless somebody else has it. Beside them lie `upper`, the
upper half; `NUMBER.hosts`, which is mounted in that container; `rules`, which nftables was told last.

Whoever changes any of it holds the lock of the folder. A lease whose lock is free is a dead supervisor's: the next one
to come clears it. The bridge and the rules go before the last lease does, so they are never there without one.
"""

import _socket
import errno
import fcntl
import os
import sys

import treesmith
from treesmith.errors import BusyError, Error
from treesmith.launch.network import bridge, names, rules
from treesmith.linux.file import private_folder
from treesmith.linux.netlink import Netlink
from treesmith.run import output
from treesmith.sandbox.link import Link
from treesmith.spec.ports import ANYWHERE, Port
from treesmith.store import locks, records

RUN = f"{treesmith.RUN}/network"
_FIRST, _LAST = 2, 65534
_RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")


class Lease:
    """An address, and ports of the host, until `close`."""

    __slots__ = ("_folder", "_lock", "_ports", "hosts", "link")

    def __init__(self, folder: str, lock: locks.Lock, ports: "list[_socket.socket]", link: Link) -> None:
        self._folder = folder
        self._lock = lock
        self._ports = ports
        self.link = link
        self.hosts = f"{lock.path}.hosts"  # a file that names everybody, as they come and go

    def close(self) -> None:
        """When the container is gone. Again is harmless."""
        if self._lock.fileno() < 0:
            return
        turn = _turn(self._folder)
        try:
            _end(self._folder, [self._lock])
        finally:
            os.close(turn)
        while self._ports:
            self._ports.pop().close()


def resolver() -> "tuple[tuple[str, bytes], ...]":
    """A private network's /etc/resolv.conf, as a Sandbox's `files`; none if the host has no server that is reached from
    there."""
    for path in _RESOLVERS:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                found = names.resolver(file.read())
        except OSError:
            continue
        if found:
            return (("/etc/resolv.conf", found.encode(errors="surrogateescape")),)
    return ()


def take(id: str, called: "tuple[str, ...]", ports: "tuple[Port, ...]") -> Lease:
    """An address for the tree `id`, known to the others by the names `called`; and `ports` lead to it from now on.

    BusyError: a port is taken. Error: nftables or the kernel refuse.
    """
    rules.find_nft()
    folder = _folder()
    private_folder(folder)
    turn = _turn(folder)
    held: list[_socket.socket] = []
    try:
        _clear(folder)
        for port in ports:
            held.append(hold(folder, port))
        upper = _upper(folder)
        lock = _free(folder, int(id, 16))
        try:
            fields = {"names": called, "ports": [[getattr(port, key) for key in _PORT] for port in ports]}
            os.pwrite(lock.fileno(), records.encode(fields).encode(), 0)
            if not bridge.is_there():
                bridge.make(upper)
            _tell(folder, upper, _present(folder))
        except BaseException:
            _end(folder, [lock])
            raise
        return Lease(folder, lock, held, _link(upper, int(os.path.basename(lock.path))))
    except BaseException as error:
        while held:
            held.pop().close()
        if isinstance(error, OSError):
            raise Error(f"no private network: {error.filename or 'it'} failed", error.strerror or "") from error
        raise
    finally:
        os.close(turn)


def recover() -> None:
    """Take away what killed supervisors left of their networks. Their containers must be gone."""
    folder = _folder()
    if not any(locks.is_free(f"{folder}/{number}") for number in _numbers(folder)):
        return  # without a turn, which may take a while
    turn = _turn(folder)
    try:
        _clear(folder)
    finally:
        os.close(turn)


_PORT = ("address", "outside", "inside", "protocol")


def _folder() -> str:
    return f"{RUN}/{os.stat('/proc/self/ns/net').st_ino}"


def _turn(folder: str) -> int:
    turn = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(turn, fcntl.LOCK_EX)
    return turn


def _numbers(folder: str) -> "list[int]":
    try:
        return sorted(int(name) for name in os.listdir(folder) if name.isdecimal())
    except FileNotFoundError:
        return []


def _clear(folder: str) -> None:
    found = (locks.attempt(f"{folder}/{number}", exclusive=True, patience=0) for number in _numbers(folder))
    dead = [lock for lock in found if lock]
    if dead:
        _end(folder, dead)


def _end(folder: str, leases: "list[locks.Lock]") -> None:
    """The leases' links and rules, and with the last lease of all the bridge; then the leases."""
    ending = {int(os.path.basename(lock.path)) for lock in leases}
    with Netlink() as netlink:
        for number in ending:
            netlink.delete(f"{bridge.NAME}-{number}")
    staying = {number: fields for number, fields in _present(folder).items() if number not in ending}
    if staying:
        _tell(folder, _upper(folder), staying)
    else:
        try:
            _apply(folder, rules.GONE)
        except Error as error:  # a host without nftables must be able to go on
            sys.stderr.write(f"treesmith: the tables {rules.TABLE} of nftables may be left: {error.brief}\n")
        bridge.remove()
        _forget(f"{folder}/rules", f"{folder}/upper")
    for lock in leases:
        _forget(f"{lock.path}.hosts")
        lock.remove()


def _forget(*paths: str) -> None:
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


def _upper(folder: str) -> int:
    """The upper half of everybody's address. Chosen anew when nobody is there."""
    try:
        return int(records.read_file(f"{folder}/upper"))
    except (FileNotFoundError, ValueError):
        upper = bridge.choose(bridge.routes())
        records.write_file(f"{folder}/upper", str(upper), durable=False)
        return upper


def _free(folder: str, wish: int) -> locks.Lock:
    count = _LAST - _FIRST + 1
    for step in range(count):
        lock = locks.attempt(f"{folder}/{_FIRST + (wish + step) % count}", exclusive=True, patience=0)
        if lock:
            return lock
    raise Error("no address is left", f"{count} containers have one")


def _present(folder: str) -> "dict[int, tuple[tuple[str, ...], tuple[Port, ...]]]":
    """The names and ports of every lease."""
    found = {}
    for number in _numbers(folder):
        try:
            fields = records.parse(records.read_file(f"{folder}/{number}"))
        except ValueError:
            continue  # its taker was killed before it wrote
        found[number] = (tuple(fields["names"]), tuple(Port(*port) for port in fields["ports"]))
    return found


def _link(upper: int, number: int) -> Link:
    address = bridge.address(upper, number)
    mac = bridge.hardware(upper, number)
    gateway = bridge.address(upper, 1)
    return Link(bridge.NAME, f"{bridge.NAME}-{number}", address, bridge.PREFIX, gateway, mac, bridge.mtu())


def _tell(folder: str, upper: int, present: "dict[int, tuple[tuple[str, ...], tuple[Port, ...]]]") -> None:
    """nftables and the containers, who is there."""
    links = [(_link(upper, number), ports) for number, (_, ports) in present.items()]
    _apply(folder, rules.script(bridge.NAME, f"{bridge.address(upper, 0)}/{bridge.PREFIX}", links))
    members = [(bridge.address(upper, number), called) for number, (called, _) in present.items()]
    for number, own in zip(present, members, strict=True):
        # Written over, not renamed: it is mounted.
        fd = os.open(f"{folder}/{number}.hosts", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.fchmod(fd, 0o644)
            os.ftruncate(fd, os.pwrite(fd, names.hosts(own, members).encode(), 0))
        finally:
            os.close(fd)


def _apply(folder: str, script: str) -> None:
    path = f"{folder}/rules"
    records.write_file(path, script, durable=False)
    output((rules.find_nft(), "-f", path))


def hold(folder: str, port: Port) -> _socket.socket:
    """A socket on it, so that nobody else gets it: nothing ever arrives there, it is all translated before. BusyError;
    Error: the host has no such address, or it is not for everybody."""
    tcp = port.protocol == "tcp"
    kind = _socket.SOCK_STREAM if tcp else _socket.SOCK_DGRAM
    sock = _socket.socket(_socket.AF_INET, kind | _socket.SOCK_CLOEXEC)
    try:
        if tcp:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)  # not what has just ended
        sock.bind((port.address, port.outside))
        if tcp:
            sock.listen(1)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise BusyError(f"port {port} of the host is taken", _taker(folder, port), "choose another") from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise Error(f"{port.address} is no address of this host", hint="without one: every address") from None
        if error.errno == errno.EACCES:
            fix = f"sudo sysctl -w net.ipv4.ip_unprivileged_port_start={port.outside}"
            raise Error(f"port {port} of the host takes root", "it is one of the first", fix) from None
        raise
    return sock


def _taker(folder: str, wanted: Port) -> str:
    for called, ports in _present(folder).values():
        for port in ports:
            same = (port.outside, port.protocol) == (wanted.outside, wanted.protocol)
            if same and (port.address == wanted.address or ANYWHERE in (port.address, wanted.address)):
                return f"it leads to {called[0]}"
    return "somebody listens there"
