"""Private networks, with real traffic: between containers, from the host, from its neighbour and to it."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest
from launching import PATIENCE, wait_for
from networks import OURS, OUTSIDE, Trees


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trees]:
    trees = Trees(tmp_path_factory.mktemp("net"))
    yield trees
    trees.close()


@pytest.fixture(autouse=True)
def nothing_stays(net: Trees) -> Iterator[None]:
    yield
    net.stop_all()
    assert not net.links()


def test_containers_reach_each_other_by_name(net: Trees) -> None:
    web, names = net.serve("web"), net.serve("names", protocol="udp", port=53)
    assert net.ask("names", web) == names
    assert net.ask("web", names, 53, "udp") == web
    for name in ("web", "names"):
        assert net.run("enter", name, "--", "cat", "/etc/hosts").stdout.splitlines()[2:] == [
            f"{web} web" + " base" * (name == "web"), f"{names} names" + " base" * (name == "names"),
        ][:: 1 if name == "web" else -1]  # fmt: skip
    assert net.ask(net.host, web) == web.rpartition(".")[0].rpartition(".")[0] + ".0.1"
    net.stop("web")
    assert "web" not in net.run("enter", "names", "--", "cat", "/etc/hosts").stdout


def test_inside_it_looks_as_usual(net: Trees) -> None:
    said = net.sh("ip -o link | cut -d: -f2; cat /proc/sys/net/ipv4/ping_group_range; ip -6 addr show eth0",
                  "--network", "private")  # fmt: skip
    assert said.split() == ["lo", "eth0@if" + said.split("eth0@if")[1].split()[0], "0", "65535"]
    assert net.sh("ip -o link show eth0", "--network", "private").split("mtu ")[1].split()[0] == "1400"
    assert net.sh("ip route | head -1", "--network", "private").startswith("default via 10.209.0.1 dev eth0")


def test_the_outside_sees_the_host_alone(net: Trees) -> None:
    server = net.serve_at(net.outside, OUTSIDE, 80)
    datagrams = net.serve_at(net.outside, OUTSIDE, 53, "udp")
    web = net.serve("web")
    assert net.ask("web", OUTSIDE) == OURS
    assert net.ask("web", OUTSIDE, 53, "udp") == OURS
    net.outside.run("ip", "route", "add", web, "via", OURS)
    assert net.ask(net.outside, web) == "nothing"
    net.outside.run("ip", "route", "del", web)
    for one in (server, datagrams):
        one.send_signal(signal.SIGKILL)
        one.communicate()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_ports(net: Trees, protocol: str) -> None:
    web = net.serve("web", "--port", f"8080:80/{protocol}", protocol=protocol)
    other = net.serve("other")
    assert net.ask(net.outside, OURS, 8080, protocol) == OUTSIDE
    assert net.ask(net.host, "127.0.0.1", 8080, protocol) == "10.209.0.1"
    assert net.ask(net.host, OURS, 8080, protocol) == OURS
    assert net.ask("other", OURS, 8080, protocol) == "10.209.0.1"
    assert net.ask("web", OURS, 8080, protocol) == "10.209.0.1"
    assert net.ask("other", web, 80, protocol) == other
    rows = {row.split()[0]: row for row in net.run("ps").stdout.splitlines()}
    assert web in rows["web"] and "8080:80" in rows["web"] and other in rows["other"]
    assert net.ask(net.host, "127.0.0.1", 8081, protocol) == "nothing"
    net.stop("web")
    assert net.ask(net.host, "127.0.0.1", 8080, protocol) == "nothing"


def test_a_port_of_one_address(net: Trees) -> None:
    net.serve("web", "--port", "127.0.0.1:8080:80", "--port", f"{OURS}:8081:80")
    assert net.ask(net.host, "127.0.0.1", 8080) == "10.209.0.1"
    assert net.ask(net.outside, OURS, 8080) == "nothing"
    assert net.ask(net.outside, OURS, 8081) == OUTSIDE
    assert net.ask(net.host, "127.0.0.1", 8081) == "nothing"


def test_taken_ports(net: Trees) -> None:
    net.serve("web", "--port", "8080:80")
    server = net.serve_at(net.host, "127.0.0.1", 8081)
    for port, why in (
        ("8080:80", "port 8080/tcp of the host is taken\n  it leads to web"),
        ("127.0.0.1:8080:80", "port 127.0.0.1:8080/tcp of the host is taken\n  it leads to web"),
        ("8081:80", "port 8081/tcp of the host is taken\n  somebody listens there"),
        (f"{OUTSIDE}:8082:80", f"{OUTSIDE} is no address of this host"),
    ):
        done = net.run("launch", "-q", "base", "--network", "private", "--port", port, "--", "true")
        assert (done.returncode, done.stdout) == (125, "") and why in done.stderr, done
    words = ("launch", "-q", "base", "--network", "private", "--port", "8080:80/udp", "--", "true")
    assert net.run(*words).returncode == 0
    server.send_signal(signal.SIGKILL)
    server.communicate()


def test_ports_need_a_private_network(net: Trees) -> None:
    for network, hint in (("none", "--network private"), ("host", "every port is the host's already")):
        done = net.run("launch", "base", "--network", network, "--port", "1:1", "--", "true")
        assert done.returncode == 125 and hint in done.stderr


def test_what_listens_on_the_hosts_loopback_is_the_hosts(net: Trees) -> None:
    """Not even by a route that says that it lies behind the gateway, which a container could not make."""
    server = net.serve_at(net.host, "127.0.0.1", 8082)
    net.serve("web", "--port", "8080:80")
    assert net.ask(net.host, "127.0.0.1", 8082) == "127.0.0.1"
    assert net.ask("web", "127.0.0.1", 8082) == "nothing"
    assert net.ask("web", "10.209.0.1", 8082) == "nothing"
    inside = net.inside("web")
    inside.run("ip", "route", "del", "local", "127.0.0.0/8", "table", "local")
    inside.run("ip", "route", "del", "local", "127.0.0.1", "table", "local")
    inside.run("ip", "route", "add", "127.0.0.1", "via", "10.209.0.1")
    inside.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet")
    assert net.ask(inside, "127.0.0.1", 8082) == "nothing"
    assert "127.0.0.0/8 counter packets 0" not in net.host.run("nft", "list", "chain", "inet", "treesmith", "first")
    server.send_signal(signal.SIGKILL)
    server.communicate()


def test_nobody_speaks_as_another(net: Trees) -> None:
    web, one = net.serve("web"), net.serve("one")
    two = net.serve("two")
    inside = net.inside("one")
    assert net.ask(inside, web) == one
    inside.run("ip", "address", "del", f"{one}/16", "dev", "eth0")
    inside.run("ip", "address", "add", "10.209.0.99/16", "dev", "eth0")
    assert net.ask(inside, web) == "nothing"
    inside.run("ip", "address", "del", "10.209.0.99/16", "dev", "eth0")
    inside.run("ip", "address", "add", f"{two}/16", "dev", "eth0")
    assert net.ask(inside, web) == "nothing"
    inside.run("ip", "address", "del", f"{two}/16", "dev", "eth0")
    inside.run("ip", "address", "add", f"{one}/16", "dev", "eth0")
    assert net.ask(inside, web) == one
    inside.run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:01")
    assert net.ask(inside, web) == "nothing"
    assert net.ask("two", web) == two


def test_connections_outlive_the_coming_and_going_of_others(net: Trees) -> None:
    listen = ("launch", "-q", "base", "--network", "private", "--port", "8080:80", "--name", "web", "--detach", "--")
    assert net.run(*listen, "sh", "-c", "tail -f /dev/null | nc -l -p 80").returncode == 0
    inside = net.inside("web")
    wait_for("the server", lambda: ":0050 " in inside.run("cat", "/proc/net/tcp6"))
    argv = net.host.argv("busybox", "nc", "127.0.0.1", "8080")
    client = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdin
    client.stdin.write(b"before\n")
    client.stdin.flush()
    wait_for("the first line", lambda: "before" in net.run("logs", "web").stdout)
    assert net.sh("echo came", "--network", "private") == "came\n"
    client.stdin.write(b"after\n")
    client.stdin.flush()
    wait_for("the second line", lambda: "after" in net.run("logs", "web").stdout)
    client.send_signal(signal.SIGKILL)
    client.communicate()


def test_a_tree_has_the_same_address_each_time(net: Trees) -> None:
    name = net.fresh()
    script = "ip -4 -o addr show eth0 | tr -s ' ' | cut -d' ' -f4"
    first = net.sh(script, "--network", "private", tree=name)
    assert net.sh(script, "--network", "private", "--ephemeral", tree=name) != first
    assert net.sh(script, "--network", "private", tree=name) == first
    net.store.remove([net.store.find(name)])


def test_a_system_that_reboots_keeps_its_address_and_ports(net: Trees) -> None:
    name = net.fresh()
    script = """
        ip -4 -o addr show eth0 | tr -s ' ' | cut -d' ' -f4 >> /seen
        test $(wc -l < /seen) = 3 && exec /talk serve tcp 80
        reboot -f; sleep 9
    """
    words = ("launch", "-q", "-d", "--boot", "--network", "private", "--port", "8080:80")
    talk = ("--bind", f"{net.talk}:/talk:ro")
    assert net.run(*words, *talk, name, "--", "/bin/sh", "-c", script).returncode == 0
    wait_for("the server", lambda: net.ask(net.host, "127.0.0.1", 8080) == "10.209.0.1")
    net.stop(name)
    seen = net.run("launch", "-q", name, "--", "cat", "/seen").stdout.split()
    assert len(seen) == 3 and len(set(seen)) == 1
    net.store.remove([net.store.find(name)])


def test_twenty_at_once(net: Trees) -> None:
    names = [f"n{number}" for number in range(20)]
    words = ("launch", "-q", "base", "--network", "private", "--detach")
    started = [net.start(*words, "--name", name, "--", "sleep", "1000") for name in names]
    assert [process.wait(PATIENCE * 3) for process in started] == [0] * 20
    for process in started:
        process.communicate()
    assert len({net.address(name) for name in names}) == 20
    assert len(net.run("enter", "n7", "--", "cat", "/etc/hosts").stdout.splitlines()) == 22
    stopping = [net.start("stop", "--timeout", "0", name) for name in names]
    assert [process.wait(PATIENCE * 3) for process in stopping] == [0] * 20
    for process in stopping:
        process.communicate()


def test_that_the_host_forwards_is_said_once(net: Trees) -> None:
    net.host.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
    words = ("launch", "base", "-q", "--network", "private", "--", "true")
    assert "net.ipv4.ip_forward" in net.run(*words).stderr
    assert net.run(*words).stderr == ""


def test_another_network_where_that_one_is_taken(net: Trees) -> None:
    net.host.run("ip", "route", "add", "10.209.128.0/24", "via", OUTSIDE)
    assert net.sh("ip route | head -1", "--network", "private").startswith("default via 10.210.0.1 ")
    net.host.run("ip", "route", "del", "10.209.128.0/24")


def test_the_trees_own_defaults(net: Trees) -> None:
    name = net.fresh()
    launch = {"network": "private", "ports": ["8080:80"], "command": ["/talk", "serve", "tcp", "80"]}
    net.store.update(net.store.find(name), launch=launch)
    assert net.run("launch", "-d", name, "--bind", f"{net.talk}:/talk").returncode == 0
    wait_for("the server", lambda: net.ask(net.host, "127.0.0.1", 8080) == "10.209.0.1")
    net.stop(name)
    assert net.run("launch", name, "--network", "none", "--", "ls", "/sys/class/net").stdout == "lo\n"
    done = net.run("launch", name, "--port", "8081:80", "--", "true")
    assert (done.returncode, done.stderr) == (0, "")
    net.store.remove([net.store.find(name)])


def test_a_killed_supervisor_leaves_nothing_after_the_next_verb(net: Trees) -> None:
    before = leaks.state()
    net.serve("stays")
    for _ in range(5):
        process = net.start("launch", "-q", "base", "--network", "private", "--port", "8080:80", "--", "cat",
                            stdin=subprocess.PIPE)  # fmt: skip
        assert process.stdin and process.stdout
        process.stdin.write(b"up\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert net.run("prune", "-q").returncode == 0
    assert len(net.links()) == 4, net.links()  # the bridge, one port, two tables
    assert "8080" not in net.host.run("nft", "list", "ruleset")
    net.stop("stays")
    assert not leaks.since(before)


def killed(net: Trees, tmp_path: Path, call: str, when: int) -> bool:
    trace = tmp_path / "trace"
    inject = f"-e trace={call} -e inject={call}:signal=KILL:when={when}".split()
    words = net.argv("launch", "-q", "base", "--network", "private", "--port", "8080:80", "--", "true")
    subprocess.run(["strace", "-o", trace, *inject, *words], env=net.environment, stdin=subprocess.DEVNULL,
                   capture_output=True, check=False, timeout=PATIENCE * 2)  # fmt: skip
    return "+++ killed by SIGKILL" in trace.read_text()


@pytest.mark.slow
def test_at_each_step_of_the_supervisor(net: Trees, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After any of them one more launch gets the port, and then nothing is left."""
    before = leaks.state()
    points = 0
    for call in ("bind", "listen", "flock", "sendto", "recvfrom", "pwrite64", "wait4", "rename", "unlink", "ftruncate"):
        for when in (1, 2, 3, 4, 6, 9, 13, 18, 25):
            if not killed(net, tmp_path, call, when):
                break
            points += 1
            done = net.run("launch", "-q", "base", "--network", "private", "--port", "8080:80", "--", "echo", "fine")
            assert (done.returncode, done.stdout) == (0, "fine\n"), (call, when, done.stderr)
            assert not net.links(), (call, when)
    net.store.recover()
    assert not leaks.since(before)
    assert not os.listdir(f"{net.store.path}/staging")
    with capsys.disabled():
        print(f" {points} points", end="")
    assert points > 25
