from typing import Any

import pytest

from treesmith import spec
from treesmith.errors import UsageError
from treesmith.sandbox.sandbox import COMMAND


def test_nothing_said() -> None:
    made = spec.make({})
    assert (made.command, made.user, made.env, made.chdir, made.network) == ((), "", {}, "/", "none")
    assert (made.binds, made.read_only, made.tty, made.ephemeral, made.ignored) == ((), False, None, False, ())


def test_defaults_and_what_overrides_them() -> None:
    defaults = {"command": ["a", "b"], "user": "me", "env": {"A": "1", "B": "2"}, "chdir": "/srv", "read-only": True}
    made = spec.make(defaults)
    assert (made.command, made.user, made.chdir, made.read_only) == (("a", "b"), "me", "/srv", True)
    made = spec.make(defaults, ("c",), user="you", setenv=("B=3", "C=x=y", "D="), chdir="/")
    assert (made.command, made.user, made.chdir) == (("c",), "you", "/")
    assert made.env == {"A": "1", "B": "3", "C": "x=y", "D": ""}


@pytest.mark.parametrize("defaults", [{"network": "host"}, {"network": "x"}, {"binds": ["/:/host"]}])
def test_defaults_cannot_loosen(defaults: dict[str, Any]) -> None:
    made = spec.make(defaults)
    assert (made.network, made.binds) == ("none", ())
    assert made.ignored == tuple(key for key in defaults if key != "network")


def test_what_is_not_kept_is_named() -> None:
    assert spec.make({"memory": "1G", "unheard": 1, "user": "x"}).ignored == ("unheard",)


def test_ports() -> None:
    tree = {"network": "private", "ports": ["8080:80", "127.0.0.1:53:53/udp"]}
    first, second = spec.make(tree).ports
    assert (first.address, first.outside, first.inside, first.protocol) == ("0.0.0.0", 8080, 80, "tcp")
    assert (str(first), str(second), second.protocol) == ("8080/tcp", "127.0.0.1:53/udp", "udp")
    assert [str(port) for port in spec.make(tree, port=("1:2/tcp",)).ports] == ["1/tcp"]
    for network in ("none", "host"):
        assert spec.make(tree, network=network).ports == ()
        with pytest.raises(UsageError):
            spec.make(tree, network=network, port=("1:2",))


def test_memory_and_overlays() -> None:
    made = spec.make({}, tmpfs=("/a", "/b/c:64M", "/d:10%"), overlay=("/x:/y",))
    assert made.tmpfs == (("/a", ""), ("/b/c", "64m"), ("/d", "10%"))
    assert [(bind.source, bind.target, bind.overlay) for bind in made.binds] == [("/x", "/y", True)]


def test_binds() -> None:
    first, second = spec.make({}, bind=("/a:/b", "c:/d/e:ro,noidmap")).binds
    assert (first.source, first.target, first.idmap, first.read_only) == ("/a", "/b", True, False)
    assert second.source.startswith("/") and second.source.endswith("/c")
    assert (second.target, second.idmap, second.read_only) == ("/d/e", False, True)


@pytest.mark.parametrize(
    "options",
    [
        {"bind": ("/a",)}, {"bind": ("/a:",)}, {"bind": (":/a",)}, {"bind": ("/a:b",)}, {"bind": ("/a:/b/../c",)},
        {"bind": ("/a:/",)}, {"bind": ("/a:/b:rw",)}, {"bind": ("/a:/b:idmap,noidmap",)}, {"bind": ("/a:/b:ro:x",)},
        {"setenv": ("A",)}, {"setenv": ("=1",)}, {"chdir": "srv"}, {"chdir": "/srv/../.."},
        {"hostname": "a b"}, {"hostname": "a" * 65}, {"network": "bridge"},
        {"network": "private", "port": ("80",)}, {"network": "private", "port": ("0:80",)},
        {"network": "private", "port": ("80:65536",)}, {"network": "private", "port": ("80:80/sctp",)},
        {"network": "private", "port": ("a.b:80:80",)}, {"network": "private", "port": ("[::1]:80:80",)},
        {"network": "private", "port": ("1.2.3:80:80",)}, {"network": "private", "port": ("1:2:3:4",)},
        {"tmpfs": ("a",)}, {"tmpfs": ("/",)}, {"tmpfs": ("/a:",)}, {"tmpfs": ("/a:x",)}, {"tmpfs": ("/a:0",)},
        {"overlay": ("/a",)}, {"overlay": ("/a:/b:ro",)}, {"overlay": ("/a:/",)},
        {"tty": True, "pipe": True},
    ],
)  # fmt: skip
def test_nonsense(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        spec.make({}, **options)


def test_terminals() -> None:
    assert (spec.make({}, tty=True).tty, spec.make({}, pipe=True).tty) == (True, False)


def test_without_ids_of_its_own() -> None:
    made = spec.make({}, private_users="no")
    assert (made.private_users, made.chroot, made.network, made.capabilities) == (False, False, "none", COMMAND)
    assert spec.make({}, private_users="yes").private_users and spec.make({}, isolation="namespaces").private_users


def test_a_chroot() -> None:
    tree = {"user": "app", "network": "private", "ports": ["8080:80"]}
    made = spec.make(tree, isolation="chroot")
    assert (made.private_users, made.chroot, made.network, made.ports) == (False, True, "host", ())
    assert (made.user, made.capabilities) == ("app", frozenset())
    assert spec.make({"boot": True}, ("true",), user="app", isolation="chroot").chroot


@pytest.mark.parametrize(
    "options",
    [
        {"isolation": "chroot"}, {"isolation": "chroot", "user": "root"}, {"isolation": "chroot", "user": "0:5"},
        {"isolation": "jail"}, {"private_users": "n"}, {"private_users": "no", "boot": True},
        {"private_users": "no", "cap_add": ("NET_RAW",)}, {"private_users": "no", "seccomp": "off"},
        {"private_users": "no", "bind": ("/a:/b:noidmap",)}, {"private_users": "no", "bind": ("/a:/b:ro,noidmap",)},
        {"isolation": "chroot", "user": "app", "network": "private"}, {"isolation": "chroot", "boot": True},
        {"isolation": "chroot", "user": "app", "hostname": "x"},
        {"isolation": "chroot", "user": "app", "port": ("1:2",)},
    ],
)  # fmt: skip
def test_what_does_not_go_without_them(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        spec.make({}, **options)
