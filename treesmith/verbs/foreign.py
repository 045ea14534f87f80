"""Verbs that are not treesmith's: a hint at the one that is meant, never an alias."""

from treesmith.errors import UsageError
from treesmith.names import nearest
from treesmith.verbs.table import VERBS

# What people bring from docker, podman, lxc, machinectl and ostree.
ELSEWHERE = {
    "run": "launch", "start": "launch",
    "exec": "enter", "shell": "enter", "login": "enter", "attach": "enter",
    "images": "ls", "image": "ls", "list": "ls",
    "inspect": "show", "info": "show",
    "commit": "seal",
    "clone": "snapshot", "create": "snapshot", "fork": "snapshot",
    "rmi": "rm", "remove": "rm", "delete": "rm",
    "mv": "rename",
    "pause": "freeze", "unpause": "thaw", "resume": "thaw",
    "kill": "stop", "terminate": "stop", "poweroff": "stop",
    "top": "ps", "stats": "ps",
    "gc": "prune",
}  # fmt: skip


def unknown(word: str) -> UsageError:
    """What to tell somebody who asked for the verb `word`."""
    brief = f"there is no verb {word!r}"
    meant = ELSEWHERE.get(word)
    if meant:
        return UsageError(brief, hint=f"what it does elsewhere, `treesmith {meant}` does here")
    likely = nearest(word, list(VERBS))
    return UsageError(brief, hint=f"did you mean {likely!r}?" if likely else "verbs: treesmith --help")
