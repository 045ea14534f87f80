"""Private networks without root, through pasta: real traffic, on a host of the test's own."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import roots
from launching import wait_for
from networks import OURS, OUTSIDE, Namespace, Wire, compiled, serving
from plain import Plain

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="this kernel has no tun")


class Net:
    """The plain user's command on the host; `tree` has /talk in it."""

    def __init__(self, me: Plain, folder: Path) -> None:
        self.me = me
        self.talk = compiled(folder / "talk")
        root = roots.busybox(folder / "root")
        shutil.copy(self.talk, root / "talk")
        me.add("tree", root)
        wire = Wire()
        self.host, self.outside, self.close = wire.host, wire.outside, wire.close

    def run(self, *words: str, status: int = 0) -> str:
        argv = self.host.argv(*self.me.argv(*words))
        done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == status, (words, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def serve(self, name: str, *options: str, protocol: str = "tcp", port: int = 80) -> None:
        words = ("launch", "-q", "--detach", "--network", "private", "--name", name, *options, "tree")
        self.run(*words, "--", "/talk", "serve", protocol, str(port))
        wait_for("the server", lambda: "up" in self.run("logs", name))

    def ask(self, place: Namespace, address: str, port: int, protocol: str = "tcp") -> str:
        return place.run(str(self.talk), "ask", protocol, address, str(port)).strip()

    def ask_inside(self, name: str, address: str, port: int, protocol: str = "tcp") -> str:
        return self.run("enter", name, "--", "/talk", "ask", protocol, address, str(port)).strip()

    @contextmanager
    def serving(self, place: Namespace, address: str, port: int, protocol: str = "tcp") -> Iterator[None]:
        server = serving(place, self.talk, address, port, protocol)
        try:
            yield
        finally:
            server.send_signal(signal.SIGKILL)
            server.communicate()


@pytest.fixture(scope="module")
def net(plain_user: Plain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    net = Net(plain_user, tmp_path_factory.mktemp("net"))
    yield net
    net.close()


# Debian 12's pasta loses what a server of another UDP port answers to the host itself.
@pytest.mark.parametrize(("protocol", "port"), [("tcp", 80), ("udp", 8080)])
def test_ports_lead_in_and_everything_out(me: Plain, net: Net, protocol: str, port: int) -> None:
    net.serve("web", "--port", f"8080:{port}/{protocol}", protocol=protocol, port=port)
    with net.serving(net.outside, OUTSIDE, 81, protocol):
        assert net.ask_inside("web", OUTSIDE, 81, protocol) == OURS
    assert net.ask(net.outside, OURS, 8080, protocol) == OUTSIDE
    assert net.ask(net.host, "127.0.0.1", 8080, protocol) == "127.0.0.1"
    assert f"8080:{port}" in net.run("ps")
    assert json.loads(net.run("ps", "--json"))["containers"][0]["address"] is None
    net.run("stop", "--timeout", "0", "web")
    assert net.ask(net.host, "127.0.0.1", 8080, protocol) == "nothing"


def test_the_host_s_loopback_is_out_of_reach(me: Plain, net: Net) -> None:
    net.serve("web")
    with net.serving(net.host, "127.0.0.1", 82):
        assert net.ask(net.host, "127.0.0.1", 82) == "127.0.0.1"
        for address in ("127.0.0.1", OURS, OUTSIDE):
            assert net.ask_inside("web", address, 82) == "nothing"
    net.run("stop", "--timeout", "0", "web")


def test_inside_it_looks_as_usual(me: Plain, net: Net) -> None:
    script = "ip -o link | cut -d: -f2; cat /proc/sys/net/ipv4/ping_group_range; cat /etc/hosts"
    said = net.run("launch", "-q", "--network", "private", "base", "--", "sh", "-c", script).split()
    assert said[:4] == ["lo", "eth0", "0", "65535"]
    assert "127.0.1.1" in said


def test_nothing_outlives_a_killed_supervisor(me: Plain, net: Net) -> None:
    net.serve("web", "--port", "8080:80")
    pid = int(json.loads(net.run("ps", "--json"))["containers"][0]["pid"])
    supervisor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    others = [int(text) for text in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()]
    assert len(others) == 2
    os.kill(supervisor, signal.SIGKILL)
    for orphan in (supervisor, *others):
        os.waitpid(orphan, 0)
    assert net.ask(net.host, "127.0.0.1", 8080) == "nothing"
    assert net.run("launch", "-q", "base", "--", "true") == ""


def test_ports_that_cannot_be_had(me: Plain, net: Net) -> None:
    private = ("launch", "-q", "--network", "private", "--port")
    assert "takes root" in net.run(*private, "80:80", "base", "--", "true", status=125)
    with net.serving(net.host, "127.0.0.1", 8080):
        said = net.run(*private, "8080:80", "base", "--", "true", status=125)
        assert "port 8080/tcp of the host is taken" in said
    assert "no address of this host" in net.run(*private, "203.0.113.1:8080:80", "base", "--", "true", status=125)


def test_what_is_missing(me: Plain) -> None:
    words = ("launch", "-q", "--network", "private", "base", "--", "true")
    few = me.folder / "few"
    few.mkdir()
    for name in ("newuidmap", "newgidmap"):
        (few / name).symlink_to(f"/usr/bin/{name}")
    said = me.run(*words, status=125, PATH=str(few)).stderr
    assert "pasta is missing" in said
    assert "sudo apt install passt" in said
    me.tun.chmod(0o600)
    try:
        assert "sudo chmod 666 /dev/net/tun" in me.run(*words, status=125).stderr
    finally:
        me.tun.chmod(0o666)


def test_a_host_without_a_network(me: Plain) -> None:
    argv = ["unshare", "-n", *me.argv("launch", "-q", "--network", "private", "base", "--", "true")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert "no private network: pasta ended" in done.stderr
