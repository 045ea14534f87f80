"""The throw-away copy of a tree that a source package is built on, whichever family's: see `package`."""

import os
from collections.abc import Collection

from treesmith.archive.layer import Layer, Meta
from treesmith.errors import Error
from treesmith.sandbox.sandbox import Bind
from treesmith.steps.inputs import digest_of
from treesmith.steps.room import PASSING, Room
from treesmith.steps.step import Step

HOME = "/build"
NOBODY = 65534  # base-passwd(8); whose HOME is
BUILT = f"{PASSING}/built"


def furnish(bench: Room) -> None:
    with bench.root() as root, Layer(root) as layer:
        layer.folder(HOME, Meta(0o755, NOBODY, NOBODY))


def jobs(step: Step) -> int:
    return step.integer("jobs") or len(os.sched_getaffinity(0))


def collect(bench: Room, files: str, folder: str) -> None:
    """What was built, into the host's folder, by its digests. files: a pattern, below HOME."""
    copy = ["/bin/sh", "-e", "-c", f"cp {HOME}/{files} {BUILT}"]
    bench.inside(copy, binds=[Bind(folder, BUILT)], alone=True, what="cp")
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        os.rename(path, os.path.join(folder, digest_of(path) + os.path.splitext(name)[1]))


def chosen(step: Step, name: str, version: str, there: Collection[str]) -> list[str]:
    """Which packages to install of those that the source `name` made. Error: it made no such."""
    wanted = sorted(step.texts("packages") or (name,))
    if missing := [each for each in wanted if each not in there]:
        what = f"{name} {version} makes {', '.join(sorted(there))}"
        raise Error(f"no package {', '.join(missing)} was built", what, 'packages = ["NAME"] says which')
    return wanted
