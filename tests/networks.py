"""A host of the tests' own, as far as networks go: a network namespace, with a neighbour in another one.

outside 198.51.100.2  ---  198.51.100.1 host
"""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import launching

OURS, OUTSIDE = "198.51.100.1", "198.51.100.2"
TALK = Path(__file__).parent / "e2e/talk.c"


class Namespace:
    """A network namespace that lives as long as a process sleeps in it."""

    def __init__(self) -> None:
        self._sleeper = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        self.pid = self._sleeper.pid
        own = os.readlink("/proc/self/ns/net")
        launching.wait_for("the namespace", lambda: os.readlink(f"/proc/{self.pid}/ns/net") != own)

    def argv(self, *words: str) -> list[str]:
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *words]

    def run(self, *words: str) -> str:
        done = subprocess.run(self.argv(*words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def close(self) -> None:
        self._sleeper.send_signal(signal.SIGKILL)
        self._sleeper.wait()


def compiled(path: Path) -> Path:
    subprocess.run(["gcc", "-static", "-O", "-Wall", "-Werror", "-o", path, TALK], check=True)
    return path


class Wire:
    """The host, and its neighbour."""

    def __init__(self) -> None:
        self.host, self.outside = Namespace(), Namespace()
        self.host.run("ip", "link", "set", "lo", "up")
        peer = ("peer", "name", "wire", "netns", str(self.outside.pid))
        self.host.run("ip", "link", "add", "wire", "type", "veth", *peer)
        for place, address in ((self.host, OURS), (self.outside, OUTSIDE)):
            place.run("ip", "address", "add", f"{address}/24", "dev", "wire")
            place.run("ip", "link", "set", "wire", "mtu", "1400", "up")
        self.host.run("ip", "route", "add", "default", "via", OUTSIDE)
        self.host.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")

    def close(self) -> None:
        self.host.close()
        self.outside.close()


def serving(place: Namespace, talk: Path, address: str, port: int, protocol: str = "tcp") -> subprocess.Popen[bytes]:
    """Answers with the asker's address."""
    server = subprocess.Popen(place.argv(str(talk), "serve", protocol, address, str(port)), stdout=subprocess.PIPE)
    assert server.stdout and server.stdout.readline() == b"up\n"
    return server


class Trees(launching.Trees):
    """The command, on a host of the tests' own."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.talk = compiled(path / "talk")
        self._wire = Wire()
        self.host, self.outside = self._wire.host, self._wire.outside

    def argv(self, *words: str) -> list[str]:
        return self.host.argv(*super().argv(*words))

    def serve(self, name: str, *options: str, protocol: str = "tcp", port: int = 80, tree: str = "base") -> str:
        """A detached container, /talk in it, that answers on a port: its address."""
        words = ("launch", "-q", tree, "--network", "private", "--bind", f"{self.talk}:/talk", "--name", name, *options)
        done = self.run(*words, "--detach", "--", "/talk", "serve", protocol, str(port))
        assert done.returncode == 0, done.stderr
        launching.wait_for("the server", lambda: "up" in self.run("logs", name).stdout)
        return self.address(name)

    def serve_at(self, place: Namespace, address: str, port: int, protocol: str = "tcp") -> subprocess.Popen[bytes]:
        return serving(place, self.talk, address, port, protocol)

    def ask(self, place: "Namespace | str", address: str, port: int = 80, protocol: str = "tcp") -> str:
        """What a server says the asker's address is, or "nothing". place: a namespace, or a container's name."""
        if isinstance(place, str):
            done = self.run("enter", place, "--", "/talk", "ask", protocol, address, str(port))
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()
        return place.run(str(self.talk), "ask", protocol, address, str(port)).strip()

    def stop(self, *names: str) -> None:
        for name in names:
            done = self.run("stop", "--timeout", "0", name)
            assert done.returncode == 0, done.stderr

    def address(self, name: str) -> str:
        said = self.run("enter", name, "--", "ip", "-4", "-o", "addr", "show", "eth0").stdout
        return said.split()[3].partition("/")[0]

    def stop_all(self) -> None:
        self.stop(*(one["name"] for one in self._running()))

    def _running(self) -> list[dict[str, Any]]:
        return json.loads(self.run("ps", "--json").stdout)["containers"]  # type: ignore[no-any-return]

    def inside(self, name: str) -> Namespace:
        """The network namespace of a container, with all rights that a container never has. Not to be closed."""
        namespace = Namespace.__new__(Namespace)
        namespace.pid = next(one["pid"] for one in self._running() if one["name"] == name)
        return namespace

    def links(self) -> set[str]:
        """What the host has but its own: interfaces and nftables' tables."""
        names = {row.split(":")[1].split("@")[0].strip() for row in self.host.run("ip", "-o", "link").splitlines()}
        tables = set(self.host.run("nft", "list", "tables").splitlines())
        return names - {"lo", "wire", "ifb0", "ifb1"} | tables

    def close(self) -> None:
        self._wire.close()
