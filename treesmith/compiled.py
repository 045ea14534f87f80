"""Finds treesmith's own modules where they are compiled already. importlib asks the file system many things about each;
here it is two files: 3 ms of a launch's imports.

A compiled file counts as it does there (PEP 3147, PEP 552): it is this interpreter's, and the source still has the time
and size that it was made from. Whatever is otherwise is left to importlib, which compiles it anew.
"""

import marshal
import os
import sys
from _frozen_importlib import ModuleSpec  # importlib.machinery's, whose import takes as long as a fifth of this saves
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType

_HEADER = 16  # bytes: the interpreter's number, flags, and of the source the time in seconds and the size
_USUAL = 1 << 16  # bytes


class Loader(SourceFileLoader):
    """Of a module whose code has been read."""

    def __init__(self, name: str, source: str, code: "CodeType") -> None:
        super().__init__(name, source)
        self._code = code

    def get_code(self, fullname: str) -> "CodeType | None":
        return self._code


class Finder:
    """For sys.meta_path."""

    @staticmethod
    def find_spec(name: str, path: "Sequence[str] | None" = None, target: object = None) -> "ModuleSpec | None":
        """None: importlib may look."""
        if not path or not name.startswith("treesmith."):
            return None
        place = f"{path[0]}/{name.rpartition('.')[2]}"
        for source, folder in ((f"{place}.py", None), (f"{place}/__init__.py", place)):
            above, _, file = source.rpartition("/")
            cached = f"{above}/__pycache__/{file[:-3]}.{sys.implementation.cache_tag}.pyc"
            try:
                code = _read(cached, source)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, EOFError, TypeError):
                return None
            spec = ModuleSpec(name, Loader(name, source, code), origin=source, is_package=bool(folder))
            spec.cached, spec.has_location = cached, True
            if folder:
                spec.submodule_search_locations = [folder]
            return spec
        return None


def _read(cached: str, source: str) -> "CodeType":
    """ValueError: it is not that source's, or not for this interpreter."""
    fd = os.open(cached, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(fd, _USUAL)
        while part := os.read(fd, _USUAL) if len(data) >= _USUAL else b"":
            data += part
    finally:
        os.close(fd)
    status = os.stat(source)
    made = (0, int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    if data[:_HEADER] != MAGIC_NUMBER + b"".join(number.to_bytes(4, "little") for number in made):
        raise ValueError(cached)
    code: CodeType = marshal.loads(memoryview(data)[_HEADER:])
    return code


if not sys.flags.optimize and not sys.pycache_prefix:  # else they are elsewhere
    sys.meta_path.insert(0, Finder)
