"""doctor."""

import os
from dataclasses import asdict

from treesmith.errors import Error
from treesmith.ui import listing
from treesmith.verbs.declare import Asked

_STYLES = {"ok": listing.GREEN, "no": listing.DIM, "warn": listing.YELLOW, "fail": listing.RED}


def doctor(asked: Asked, json: bool) -> int:
    refused = _enter() if os.geteuid() else None
    from treesmith.doctor import checks  # late: it looks where `rootless` says

    found = list(checks(asked.store, refused))
    if json:
        listing.document(checks=[asdict(check) for check in found])
    else:
        rows: list[listing.Row] = [
            (listing.Styled(check.state, _STYLES[check.state]), check.name, _told(check.found, check.advice))
            for check in found
        ]
        listing.table(("state", "check", "found"), rows)
    return int(any(check.state == "fail" for check in found))


def _enter() -> Error | None:
    """Why it cannot be done without root; None: it can."""
    from treesmith.rootless import enter

    try:
        enter()
    except Error as error:
        return error
    return None


def _told(found: str, advice: str) -> str:
    return f"{found} ({advice})" if advice else found
