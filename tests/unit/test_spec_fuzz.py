"""Whatever is typed for a launch: it is understood and makes sense, or is a UsageError."""

import os
from pathlib import Path
from typing import Any

import odd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treesmith import spec
from treesmith.errors import Error, UsageError
from treesmith.ids import COUNT
from treesmith.sandbox import privileges
from treesmith.sandbox.sandbox import SETFCAP, Sandbox
from treesmith.sandbox.user import look_up
from treesmith.verbs.table import VERBS

MANY = {option.name for option in VERBS["launch"].options if option.kind == "many"}


def test_every_option_with_a_word_is_tried() -> None:
    assert {option.name for option in VERBS["launch"].options if option.kind != "flag"} == set(odd.OPTIONS)


@settings(max_examples=300, deadline=None)
@given(odd.some(), st.sampled_from([{}, {"user": "me"}, {"network": "private", "ports": ["1:2"]}]), st.booleans())
def test_words(typed: list[tuple[str, str]], defaults: dict[str, Any], boot: bool) -> None:
    options: dict[str, Any] = {}
    for option, word in typed:
        key = option.replace("-", "_")
        options[key] = (*options.get(key, ()), word) if option in MANY else word
    try:
        made = spec.make(defaults, boot=boot, **options)
    except UsageError as error:
        assert error.brief and ("\n" not in error.hint or any("\n" in word for _, word in typed))
        return
    for path in (made.chdir, *(bind.target for bind in made.binds), *(path for path, _ in made.tmpfs)):
        assert path.startswith("/") and ".." not in path.split("/")
    for bind in made.binds:
        assert bind.source.startswith("/") and (not bind.hands_out or made.no_suid)
    if made.no_suid:
        assert made.filtered and SETFCAP not in made.capabilities
    assert made.network in spec.NETWORKS and (made.network == "private" or not made.ports)
    assert all(0 < port.inside < 65536 and 0 < port.outside < 65536 for port in made.ports)
    assert all(key and "=" not in key for key in made.env)
    assert len(made.hostname) <= 64
    if not made.private_users:
        assert made.filtered or made.chroot
        assert not made.boot and all(bind.idmap for bind in made.binds)
    if made.chroot:
        assert made.user and made.network == "host" and not (made.private_users or made.capabilities)
    if made.limits:
        assert 0 <= made.limits.memory < 1 << 62 and 0 <= made.limits.pids <= 1 << 22


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    odd.word("user"),
    st.sampled_from(["me:x:7:7::/:/bin/sh", "me:x:4294967295:0:::", "me:x:9:9", "::::::", "me:x:\u0663:1::/:"]),
)
def test_users(tmp_path: Path, word: str, line: str) -> None:
    """Of a tree whose files mean harm: an account whose ids there are, or an Error."""
    (tmp_path / "etc").mkdir(exist_ok=True)
    (tmp_path / "etc/passwd").write_text(f"{line}\n")
    (tmp_path / "etc/group").write_text("staff:x:50:me\n")
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        account = look_up(root, word)
        privileges.check(Sandbox(None), account)  # type: ignore[arg-type]  # nothing is started
    except Error as error:
        assert error.brief
        return
    finally:
        os.close(root)
    assert all(0 <= id < COUNT for id in (account.uid, account.gid, *account.groups))
