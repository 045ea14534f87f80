"""Why a step's key is another than last time, in a few words."""

from collections.abc import Mapping
from typing import Any

_MOST = 3  # differences told
_LONGEST = 40  # characters of a value shown whole


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The first few differences between recorded facts and new ones, "" if there are none.

    Lists in `old` may be lists, as they come from JSON.
    """
    told = []
    for label in sorted({*old, *new}):
        before, after = _plain(old.get(label)), _plain(new.get(label))
        if (type(before), before) != (type(after), after):  # 1 is True
            told.append(_told(label, before, after))
    if len(told) > _MOST:
        told[_MOST:] = [f"{len(told) - _MOST} more"]
    return ", ".join(told)


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _told(label: str, before: Any, after: Any) -> str:
    label = label.removeprefix("step.")
    if isinstance(before, tuple) and isinstance(after, tuple):
        return _list_told(label, before, after)
    if before is None:
        return f"{label} is new"
    if after is None:
        return f"{label} is gone"
    if _is_short(before) and _is_short(after):
        return f"{label}: {_said(before)} -> {_said(after)}"
    return f"{label} changed"


def _list_told(label: str, before: tuple[str, ...], after: tuple[str, ...]) -> str:
    added = [item for item in after if item not in before]
    removed = [item for item in before if item not in after]
    if not added and not removed:
        return f"{label}: another order" if len(before) == len(after) else f"{label} changed"
    parts = [f"{sign} {' '.join(items)}" for sign, items in (("+=", added), ("-=", removed)) if items]
    told = f"{label} {' '.join(parts)}"
    return told if len(told) <= 2 * _LONGEST else f"{label} changed"


def _is_short(value: Any) -> bool:
    return not isinstance(value, tuple) and len(str(value)) <= _LONGEST and str(value).isprintable()


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def age(seconds: float) -> str:
    """ "9 days", "1 hour": the largest unit, whole."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if (count := int(seconds // size)) >= 1:
            return f"{count} {unit}" + ("s" if count > 1 else "")
    return "less than a minute"
