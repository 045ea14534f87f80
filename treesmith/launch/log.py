"""Reading what a detached container writes."""

import os
import time

from treesmith.errors import NotFoundError
from treesmith.launch import containers, kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_PAUSE = 0.05  # s


def read(record: "dict[str, Any]", follow: bool) -> "Iterator[bytes]":
    """Its log in pieces; with `follow` until the container has ended."""
    try:
        watch = containers.Watch(record) if follow and "ended" not in record else None
    except NotFoundError:
        watch = None
    fd = os.open(kept.log(record), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        while True:
            ended = watch is None or watch.ended()  # before the look: what was written by then is there
            while part := os.read(fd, 1 << 16):
                yield part
            if ended:
                return
            time.sleep(_PAUSE)
    finally:
        os.close(fd)
        if watch:
            watch.close()
