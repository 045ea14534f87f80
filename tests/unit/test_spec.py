from typing import Any

import pytest

from treesmith import spec
from treesmith.errors import UsageError


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


@pytest.mark.parametrize("defaults", [{"network": "host"}, {"network": "private"}, {"binds": ["/:/host"]}])
def test_defaults_cannot_loosen(defaults: dict[str, Any]) -> None:
    made = spec.make(defaults)
    assert (made.network, made.binds) == ("none", ())
    assert made.ignored == tuple(defaults)


def test_what_is_not_kept_is_named() -> None:
    assert spec.make({"ports": ["1:1"], "network": "private", "user": "x"}).ignored == ("ports", "network")
    assert spec.make({"network": "private"}, network="host").ignored == ()
    assert spec.make({"network": "none"}).ignored == ()


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
        {"hostname": "a b"}, {"hostname": "a" * 65}, {"network": "private"}, {"network": "bridge"},
        {"tty": True, "pipe": True},
    ],
)  # fmt: skip
def test_nonsense(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        spec.make({}, **options)


def test_terminals() -> None:
    assert (spec.make({}, tty=True).tty, spec.make({}, pipe=True).tty) == (True, False)
