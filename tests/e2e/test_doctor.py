"""doctor tries things, and says what to do where they fail."""

import json
import os

from command import Command

from treesmith.store import Store


def test_what_works_here(treesmith: Command, store: Store) -> None:
    answer = json.loads(treesmith("doctor", "--json").stdout)
    assert answer["version"] == 1
    found = {check["name"]: check for check in answer["checks"]}
    for name in (
        "kernel",
        "user",
        "namespaces",
        "ids",
        "first process",
        "seccomp",
        "sandbox",
        "nft",
        "store",
        "id-mapped mounts",
    ):
        assert found[name]["state"] == "ok", found[name]
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    assert found["landlock"]["state"] == ("ok" if release >= (6, 12) else "no")
    assert f"kept by {store.backend.name}" in found["store"]["found"]
    lines = treesmith("doctor").stdout.splitlines()
    assert lines[0].split() == ["STATE", "CHECK", "FOUND"]
    assert len(lines) == len(found) + 1


def test_a_store_that_is_not_there_is_not_made(treesmith: Command, store_path) -> None:
    assert f"none yet at {store_path}" in treesmith("doctor").stdout
    assert not store_path.exists()
    assert list(store_path.parent.iterdir()) == []


def test_without_tools_and_on_a_filesystem_that_takes_nothing_it_fails(treesmith: Command) -> None:
    done = treesmith("--store", "/proc/x", "doctor", "--json", status=1, PATH="/nowhere")
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert found["store"]["state"] == "fail"
    assert found["debootstrap"] == {
        "name": "debootstrap", "state": "warn", "found": "not found", "advice": "apt install debootstrap"
    }  # fmt: skip
    assert found["bootstrapping"]["state"] == "fail"


def test_a_store_that_is_open_to_others_fails(treesmith: Command, store: Store, store_path) -> None:
    store_path.chmod(0o755)
    assert f"chmod 700 {store_path}" in treesmith("doctor", status=1).stdout
