"""unit."""

import os
import shutil
import sys

from treesmith import service, spec
from treesmith.errors import UsageError
from treesmith.sandbox.limits import Limits
from treesmith.store import open_store
from treesmith.verbs.declare import Asked

_OURS = ("memory", "cpus", "cpuset", "pids", "io_weight")  # systemd's own business
_SOURCES = ("bind", "overlay")  # which begin with a path


def unit(asked: Asked, tree: str, sysv: bool, **options: str | bool | tuple[str, ...]) -> None:
    """options: launch's, of the same names."""
    store = open_store(asked.store)
    found = store.find(tree)
    if not found.name:
        raise UsageError(f"{tree} has no name", "a service is of whatever has the name at the time")
    launch = spec.make(found.launch, **options)  # type: ignore[arg-type]  # what makes no sense is refused
    limits = launch.limits if launch.limits and any(options[name] for name in _OURS) else Limits()
    flags = ["--name", found.name]
    flags += _flags({name: value for name, value in options.items() if sysv or name not in _OURS})
    if sysv:
        print(service.sysv(found.name, store.path, _program(), flags), end="")
    else:
        print(service.systemd(found.name, store.path, _program(), flags, limits), end="")


def _flags(options: dict[str, str | bool | tuple[str, ...]]) -> list[str]:
    """As they were typed."""
    words: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words += [flag] if value else []
        else:
            for one in (value,) if isinstance(value, str) else value:
                words += [flag, _absolute(one) if name in _SOURCES else one] if one else []
    return words


def _absolute(mount: str) -> str:
    """A service stands in another directory."""
    source, mark, rest = mount.partition(":")
    return f"{os.path.abspath(source)}{mark}{rest}"


def _program() -> list[str]:
    """The command, by its path: a service has another PATH."""
    installed = shutil.which("treesmith")
    return [os.path.abspath(installed)] if installed else [sys.executable, "-m", "treesmith"]
