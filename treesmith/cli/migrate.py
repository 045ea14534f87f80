"""migrate."""

import os

from treesmith import migrate as moving
from treesmith.errors import UsageError
from treesmith.launch import containers
from treesmith.store import mounted, open_store
from treesmith.ui import listing
from treesmith.ui.progress import progress
from treesmith.verbs.declare import Asked


def migrate(asked: Asked, to: str, dry_run: bool) -> None:
    backend, _, folder = to.partition(":")
    if not backend or not folder:
        raise UsageError(f"--to {to}: not understood", hint="--to BACKEND:DIR, such as --to btrfs:/srv/trees")
    path = os.path.abspath(folder)
    store = open_store(asked.store)
    if dry_run:
        moving.check(store, path)
        rows: list[listing.Row] = [
            (listing.Styled(tree.title, listing.BOLD), f"from {parent.title}" if parent else "from nothing")
            for tree, parent in moving.plan(store)
        ]
        listing.table(("tree", "made"), rows, empty="no trees")
        return
    containers.recover()
    mounted.recover()
    with progress(asked.quiet, asked.verbose) as report:
        count = moving.migrate(store, backend, path, report)
    if asked.quiet:
        return
    if not count:
        listing.say(f"{store.path} was moved to {path} already")
        return
    listing.say(f"{count} tree{'s' * (count != 1)}: all in {path}, kept by {backend}, each compared with its original")
    listing.say(f"{store.path} is as it was, for you to remove; to use the new one by itself:")
    listing.say(f'  treesmith --store {path}, TREESMITH_STORE, or store = "{path}" in /etc/treesmith/config.toml')
