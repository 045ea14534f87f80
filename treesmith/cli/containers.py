"""ps, logs, stop, wait, freeze, thaw, checkpoint. Hot for ps: what is slow to import is imported where it is needed."""

import os

from treesmith.errors import Error, NotFoundError, UsageError
from treesmith.launch import containers
from treesmith.sandbox import cgroup
from treesmith.store import open_store
from treesmith.ui import listing
from treesmith.ui.words import duration, moment, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from treesmith.verbs.declare import Asked

_PATIENCE = 10  # s


def ps(asked: "Asked", usage: bool, json: bool) -> None:
    found = containers.running(open_store(asked.store).path)
    used = [cgroup.usage(one["cgroup"], one.get("folders", ())) if usage else (None, None, None) for one in found]
    if json:
        listing.document(containers=[_described(one, used[at]) for at, one in enumerate(found)])
        return
    figures = ("memory", "cpu", "processes") if usage else ()
    linked = any("address" in one for one in found)
    rows = [_row(one, used[at] if usage else None, linked) for at, one in enumerate(found)]
    columns = ("name", "tree", "pid", "since", "state", *(("address", "ports") if linked else ()), *figures, "command")
    listing.table(columns, rows, frozenset({"pid", *figures}), empty="nothing is running")


def _row(
    record: "dict[str, Any]", used: "tuple[int | None, int | None, int | None] | None", linked: bool
) -> "listing.Row":
    name, state = listing.Styled(record["name"], listing.BOLD), _state(record)
    shown = listing.Styled(state, listing.YELLOW) if state == "frozen" else state
    measured = _measured(used) if used else ()
    command = " ".join(record["command"]) or "-"
    link = (record.get("address") or "-", " ".join(record.get("ports", ())) or "-") if linked else ()
    return name, record["tree"], str(record["pid"] or "-"), moment(record["started"]), shown, *link, *measured, command


def _state(record: "dict[str, Any]") -> str:
    if record["pid"] and record["cgroup"] and cgroup.is_frozen(record["cgroup"]):
        return "frozen"
    return "running" if record["ready"] else "starting"


def _measured(used: "tuple[int | None, int | None, int | None]") -> "tuple[str, str, str]":
    memory, cpu, processes = used
    return (
        "?" if memory is None else size(memory),
        "?" if cpu is None else duration(cpu / 1e6),
        "?" if processes is None else str(processes),
    )


def _described(record: "dict[str, Any]", used: "tuple[int | None, int | None, int | None]") -> "dict[str, Any]":
    shown = {key: record[key] for key in ("name", "id", "tree", "started", "command")}
    memory, cpu, processes = used
    return {
        **shown, "pid": record["pid"] or None, "state": _state(record),
        "address": record.get("address") or None, "ports": record.get("ports", []),
        "memory": memory, "cpu": cpu, "processes": processes,
    }  # fmt: skip


def logs(asked: "Asked", name: str, follow: bool) -> None:
    from treesmith.launch import kept, log

    record = kept.find(open_store(asked.store).path, name)
    for part in log.read(record, follow):
        _write(part)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def stop(asked: "Asked", name: str, signal: str, timeout: "int | None") -> None:
    from treesmith.launch import control
    from treesmith.sandbox import signals

    record = containers.find(open_store(asked.store).path, name)
    try:
        number = signals.number(signal) if signal else record["stop"]
    except ValueError as error:
        raise UsageError(f"--signal: {error}") from None
    patience = _PATIENCE if timeout is None else timeout
    if not control.stop(record, number, patience) and not asked.quiet:
        listing.say(f"{record['name']} did not end within {patience} s: killed")


def wait(asked: "Asked", name: str) -> None:
    store = open_store(asked.store).path
    try:
        record = containers.find(store, name)
        with containers.Watch(record) as watch:
            watch.ended(block=True)
            status = watch.status()
    except NotFoundError:
        from treesmith.launch import kept

        record = kept.find(store, name)
        status = record.get("status")
    if status is None:
        raise Error(f"nobody knows how {record['name']} ended", "its supervisor was killed")
    print(status)


def freeze(asked: "Asked", name: str) -> None:
    from treesmith.launch import control

    control.freeze(containers.find(open_store(asked.store).path, name), True)


def thaw(asked: "Asked", name: str) -> None:
    from treesmith.launch import control

    control.freeze(containers.find(open_store(asked.store).path, name), False)


def checkpoint(asked: "Asked", name: str) -> None:
    from treesmith.launch import disk

    store = open_store(asked.store)
    disk.checkpoint(store, containers.find(store.path, name))
