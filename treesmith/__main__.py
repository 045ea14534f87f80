"""The command `treesmith`: reads the verb, imports that verb's module alone, and turns what happens into a status."""

import gc
import os
import sys

import treesmith.compiled  # noqa: F401  # first: it finds the others
from treesmith.errors import Error
from treesmith.verbs.declare import Asked
from treesmith.verbs.reader import Request, read, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

INTERRUPTED = 130  # 128 + SIGINT


def main() -> "NoReturn":
    """Never returns. os._exit leaves out the interpreter's own taking down, which is 2 ms of a launch; nothing in
    treesmith relies on it (every lock and descriptor ends with the process)."""
    gc.disable()  # until all is imported, see `_handle`
    _standard_descriptors()
    status = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream:  # None: it was closed from the start
                stream.flush()
        except (OSError, ValueError):  # nobody reads any more, or the disk is full
            status = status or 1
    os._exit(status)


def _standard_descriptors() -> None:
    """Where 0, 1 or 2 was closed, the next file to be opened would be our stdout: a lock, or a container's pipe."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open("/dev/null", os.O_RDWR)


def run(argv: "list[str]") -> int:
    """The exit status: 0 done, 1 failed, 2 usage; of a verb that starts a command the command's, or 125."""
    request = split(argv)
    verbose = "--verbose" in request.arguments or "-v" in request.arguments
    failed = request.verb.status if request.verb else int
    try:
        return _perform(request)
    except Error as error:
        from treesmith.ui.complain import complain

        complain(error)
        return failed(error.status)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return failed(1)
    except SystemExit as end:  # Typer's completion
        return end.code if isinstance(end.code, int) else 0
    except Exception as error:
        from treesmith.ui.complain import unexpected

        unexpected(error, verbose)
        return failed(1)


def _perform(request: Request) -> int:
    if "_TREESMITH_COMPLETE" in os.environ:
        _complete()
    if request.version:
        from treesmith import __version__

        print(f"treesmith {__version__}")
        return 0
    verb = request.verb
    if request.word and not verb:
        from treesmith.verbs.foreign import unknown

        raise unknown(request.word)
    values = read(verb, request.arguments) if verb else None
    if values is None:
        from treesmith.cli import app

        result = app.read(request.word, request.arguments or ["--help"] * (not verb))
        if isinstance(result, int):
            return result if request.arguments else 2
        values = result
    assert verb
    if os.geteuid() and verb.store:
        from treesmith.rootless import enter

        enter()
    return _handle(verb.module, verb.handler, values, request.command if verb.starts else None)


def _complete() -> None:
    if os.geteuid():
        from treesmith.rootless import enter

        try:
            enter()
        except Error:
            pass  # then there is nothing to offer that is in a store
    from treesmith.cli.app import complete

    complete()


def _handle(module: str, handler: str, values: "dict[str, Any]", command: "tuple[str, ...] | None") -> int:
    asked = Asked(*(values.pop(name) for name in ("store", "quiet", "verbose")))
    if command is not None:
        values["command"] = command
    # __import__ and not importlib, which would be one more module.
    function = getattr(__import__(f"treesmith.cli.{module}", fromlist=("",)), handler)
    gc.freeze()  # nothing of it ever goes: looking through it is 1 ms of a launch, and a fork would copy it
    gc.enable()
    return function(asked, **values) or 0


if __name__ == "__main__":
    main()
