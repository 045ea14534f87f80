"""check."""

from treesmith.errors import UsageError
from treesmith.launch import containers
from treesmith.store import mounted
from treesmith.store.check import Damage, Report
from treesmith.store.check import check as look
from treesmith.store.repair import repair as mend
from treesmith.ui import listing
from treesmith.verbs.declare import Asked


def check(asked: Asked, repair: bool, dry_run: bool, json: bool) -> int:
    if dry_run and not repair:
        raise UsageError("--dry-run says what --repair would do", hint="--repair --dry-run")
    report = look(asked.store)
    done: list[Damage] = []
    stuck: dict[Damage, str] = {}
    if repair and not dry_run:
        containers.recover()
        mounted.recover()
        done, stuck, report = mend(report.path)
    if json:
        _print_json(report, done, stuck)
    else:
        _print(report, done, stuck)
        if not asked.quiet:
            _tell(report, done)
    return int(bool(report.damage))


def _print(report: Report, done: list[Damage], stuck: dict[Damage, str]) -> None:
    rows: list[listing.Row] = [
        (_title(damage), damage.why, listing.Styled(f"done: {damage.repair}", listing.GREEN)) for damage in done
    ]
    rows += [(_title(damage), damage.why, _advice(damage, stuck)) for damage in report.damage]
    if rows:
        listing.table(("what", "why", "what to do"), rows)


def _title(damage: Damage) -> str:
    return listing.Styled(damage.what, listing.BOLD)


def _advice(damage: Damage, stuck: dict[Damage, str]) -> str:
    if damage in stuck:
        return listing.Styled(f"not done: {stuck[damage]}", listing.RED)
    return f"--repair: {damage.repair}" if damage.repair else damage.advice


def _tell(report: Report, done: list[Damage]) -> None:
    count = len(report.damage)
    what = f"{count} thing{'s' * (count != 1)} damaged" if count else "no damage"
    listing.say(f"{report.trees} tree{'s' * (report.trees != 1)}, {what}{' left' if done else ''}")
    if report.in_use:
        listing.say(f"in use, so looked at while that may change: {', '.join(report.in_use)}")
    if report.quarantine:
        listing.say(f"in {report.path}/quarantine, for you to look at and remove: {report.quarantine}")


def _print_json(report: Report, done: list[Damage], stuck: dict[Damage, str]) -> None:
    damage = [(each, True, "") for each in done]
    damage += [(each, False, stuck.get(each, each.advice)) for each in report.damage]
    listing.document(
        store=report.path,
        trees=report.trees,
        damage=[
            {"what": each.what, "why": each.why, "advice": advice, "repair": each.repair, "done": was_done}
            for each, was_done, advice in damage
        ],
        in_use=report.in_use,
        quarantine=report.quarantine,
    )
