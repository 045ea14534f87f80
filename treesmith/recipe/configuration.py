"""What an image says of itself, asked through skopeo, as the caller."""

import os
from collections.abc import Mapping
from typing import Any

from treesmith.archive.image import parse
from treesmith.run import hosted


def configuration(image: str) -> Mapping[str, Any]:
    """config.md, of an image as an oci step names it. Error: it cannot be asked."""
    log = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        data = hosted(("skopeo", "inspect", "--raw", "--config", image), dict(os.environ), log, lambda line: None)
    finally:
        os.close(log)
    return parse(data, f"the configuration of {image}")
