"""Where the store is, unless --store says so."""

import os

import treesmith
from treesmith.errors import UsageError

CONFIG = "/etc/treesmith/config.toml"
_SYSTEM = "/var/lib/treesmith"


def default_path() -> str:
    """$TREESMITH_STORE, else for root what CONFIG says, else the usual place. UsageError: CONFIG makes no sense."""
    asked = os.environ.get("TREESMITH_STORE")
    if asked:
        return asked
    if treesmith.ROOTLESS or os.geteuid():
        return os.path.expanduser("~/.local/share/treesmith")
    return _configured() if os.path.exists(CONFIG) else _SYSTEM


def _configured() -> str:
    import tomllib  # 12 ms, for those who have a configuration

    try:
        with open(CONFIG, "rb") as file:
            settings = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"{CONFIG} cannot be read", str(error)) from None
    unknown = sorted(settings.keys() - {"store"})
    if unknown:
        raise UsageError(f"{CONFIG}: unknown: {', '.join(unknown)}", hint='it says store = "/DIR", and nothing else')
    store = settings.get("store", _SYSTEM)
    if not isinstance(store, str) or not store.startswith("/"):
        raise UsageError(f"{CONFIG}: store is no absolute path", hint='store = "/DIR"')
    return store
