"""What is mounted into a tree, as it is typed."""

import os

from treesmith.errors import UsageError
from treesmith.sandbox.sandbox import Bind
from treesmith.spec import inside


def bind(text: str) -> Bind:
    """SRC:DST and its options. UsageError: it is none."""
    fields = text.split(":")
    if len(fields) < 2 or not all(fields):
        raise UsageError(f"--bind {text}: not understood", hint="--bind SOURCE:TARGET[:ro][:noidmap][:suid]")
    words = [word for field in fields[2:] for word in field.split(",")]
    for word in words:
        if word not in ("idmap", "noidmap", "ro", "suid"):
            raise UsageError(f"--bind {text}: {word} is no option", "there are: idmap (the default), noidmap, ro, suid")
    if "idmap" in words and "noidmap" in words:
        raise UsageError(f"--bind {text}: idmap and noidmap exclude each other")
    target = _target(f"--bind {text}:", fields[1])
    options = {"idmap": "noidmap" not in words, "read_only": "ro" in words, "suid": "suid" in words}
    return Bind(os.path.abspath(fields[0]), target, **options)


def overlay(text: str) -> Bind:
    """SRC:DST, of which only a copy is written to. UsageError: it is none."""
    fields = text.split(":")
    if len(fields) != 2 or not all(fields):
        raise UsageError(f"--overlay {text}: not understood", hint="--overlay SOURCE:TARGET")
    return Bind(os.path.abspath(fields[0]), _target(f"--overlay {text}:", fields[1]), overlay=True)


def tmpfs(text: str) -> "tuple[str, str]":
    """DST[:SIZE], as (path, size); "" is the kernel's own limit. UsageError: it is none."""
    path, mark, size = text.partition(":")
    number, unit = (size[:-1], size[-1:]) if size[-1:] in "kmgKMG%" else (size, "")
    if mark and not (number.isascii() and number.isdecimal() and 0 < int(number) < 1 << 40):
        raise UsageError(f"--tmpfs {text}: {size} is no size", hint="--tmpfs TARGET[:SIZE], as /scratch:64M")
    return _target(f"--tmpfs {text}:", path), number + unit.lower()


def _target(option: str, path: str) -> str:
    path = inside(option, path)
    if not path.strip("/"):
        raise UsageError(f"{option} the whole tree would lie below it")
    return path
