"""doctor."""

from dataclasses import asdict

from treesmith.doctor import checks
from treesmith.ui import listing
from treesmith.verbs.declare import Asked

_STYLES = {"ok": listing.GREEN, "no": listing.DIM, "warn": listing.YELLOW, "fail": listing.RED}


def doctor(asked: Asked, json: bool) -> int:
    found = list(checks(asked.store))
    if json:
        listing.document(checks=[asdict(check) for check in found])
    else:
        rows: list[listing.Row] = [
            (listing.Styled(check.state, _STYLES[check.state]), check.name, _told(check.found, check.advice))
            for check in found
        ]
        listing.table(("state", "check", "found"), rows)
    return int(any(check.state == "fail" for check in found))


def _told(found: str, advice: str) -> str:
    return f"{found} ({advice})" if advice else found
