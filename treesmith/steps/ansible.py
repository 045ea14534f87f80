"""ansible: a playbook played on the tree, by the host's ansible, over its chroot connection.

Ansible stays outside: it and its collections are the host's, and run in `sandbox.tools`, the tree at /target. What it
starts in the tree it starts by chroot(8), as root in that sandbox, which is all that the playbook, and the tree's
programs, could get hold of. The tree needs a python3 for Ansible's modules.
"""

import glob
import os
import re
import shutil
from typing import Any

from treesmith import inventory
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.inputs import Inputs, Setting, digest_of, file_facts, host_path
from treesmith.steps.programs import driver
from treesmith.steps.room import PASSING, Room
from treesmith.steps.schema import Option, Schema, Value
from treesmith.steps.step import Step

schema = Schema(
    kind="ansible",
    help="a playbook, by the host's ansible, over its chroot connection",
    main="playbook",
    network=True,
    drivers=("ansible-playbook",),
    options={
        "playbook": Option(
            "file", "the playbook; all that is in its folder may be used, and is in the key", required=True
        ),
        "vars": Option("strings", "NAME=VALUE of further variables", ()),
        "tags": Option("strings", "only what has one of these tags", ()),
    },
)

_HERE = f"{PASSING}/playbook"
_OWN = f"{PASSING}/ansible"
_PLACES = (
    "/usr/local/lib/python3*/dist-packages",
    "/usr/local/lib/python3*/site-packages",
    "/usr/lib/python3/dist-packages",
)
_CONNECTION = "ansible_collections/community/general/plugins/connection/chroot.py"
_VERSION = re.compile(r"^__version__ = '([^']+)'", re.MULTILINE)
_NO_SERVICES = ("/target/usr/sbin/policy-rc.d", b"#!/bin/sh\nexit 101\n")  # as for apt
_ALARMS = ("skipping: no hosts matched",)  # with which it ends with 0


def inputs(step: Step, setting: Setting) -> Inputs:
    name, _ = driver(step, schema)
    for variable in step.texts("vars"):
        if not re.match(r"[A-Za-z_]\w*=", variable):
            raise step.error(f"{variable!r} is not NAME=VALUE", "vars")
    playbook = host_path(step, "playbook")
    if not os.path.isfile(playbook):
        raise step.error(f"{step.text('playbook')} is not a file", "playbook")
    facts: dict[str, Value] = {"driver": f"{name} {_version(step)}"}
    facts |= file_facts(os.path.dirname(playbook), f"file {os.path.dirname(step.text('playbook')) or '.'}")
    return Inputs(facts, pinned=not step.network)


def _version(step: Step) -> str:
    """Ansible's own and the collection's, as asking takes a second. Error: there is no chroot connection."""
    found = [place for pattern in _PLACES for place in glob.glob(pattern)]
    core = [path for place in found if os.path.isfile(path := f"{place}/ansible/release.py")]
    connection = [path for place in found if os.path.isfile(path := f"{place}/{_CONNECTION}")]
    if not core or not connection:
        raise step.error(
            "ansible has no chroot connection", details=f"there is no {_CONNECTION}", hint="apt install ansible"
        )
    with open(core[0], encoding="utf-8", errors="replace") as file:
        said = _VERSION.search(file.read())
    return f"{said[1] if said else digest_of(core[0])[:16]} {digest_of(connection[0])[:16]}"


def loose(step: Step) -> str:
    if step.network:
        return "a playbook may fetch anything, and says of nothing what it was; with network = false it can be locked"
    return ""


def run(step: Step, room: Room) -> dict[str, Any]:
    folder, name = os.path.split(host_path(step, "playbook"))
    own = os.path.join(room.cache(f"ansible-{step.recipe_digest}"), "step")
    shutil.rmtree(own, ignore_errors=True)
    for place, mode in (("", 0o755), ("run", 0o755), ("tmp", 0o1777)):
        os.makedirs(f"{own}/{place}")
        os.chmod(f"{own}/{place}", mode)
    with room.root() as root:
        before = inventory.debian(root)
    argv = ["ansible-playbook", "--inventory=/target,", "--connection=community.general.chroot"]
    argv += [word for variable in step.texts("vars") for word in ("--extra-vars", variable)]
    argv += [f"--tags={','.join(step.texts('tags'))}"] if step.texts("tags") else []
    try:
        room.outside(
            [*argv, f"{_HERE}/{name}"], env=_environment(folder), files=_files(step),
            binds=[
                Bind(folder, _HERE, read_only=True),
                Bind(f"{own}/run", "/target/run"),
                Bind(f"{own}/tmp", "/target/tmp"),
            ],
            what=f"ansible-playbook {name}", alarms=_ALARMS,
        )  # fmt: skip
    finally:
        shutil.rmtree(own)
    with room.root() as root:
        packages = inventory.added(before, inventory.debian(root))
    return {"driver": f"ansible {_version(step)}", **({"packages": packages} if packages else {})}


def _environment(folder: str) -> dict[str, str]:
    own = {"ANSIBLE_CONFIG": f"{_HERE}/ansible.cfg"} if os.path.isfile(f"{folder}/ansible.cfg") else {}
    return {
        **own,
        "HOME": _OWN,
        "ANSIBLE_HOME": _OWN,
        "ANSIBLE_LOCAL_TEMP": f"{_OWN}/local",
        "ANSIBLE_REMOTE_TMP": "/run/ansible",  # of the tree; thrown away
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        "DEBIAN_FRONTEND": "noninteractive",
    }


def _files(step: Step) -> list[tuple[str, bytes]]:
    """Laid over the tree's: no services are started, and names are found as on the host."""
    if not step.network:
        return [_NO_SERVICES]
    with open("/etc/resolv.conf", "rb") as file:
        return [_NO_SERVICES, ("/target/etc/resolv.conf", file.read())]
