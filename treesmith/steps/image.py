"""What an image's configuration says of how it is to be started, as launch defaults (config.md, "config").

It comes from a stranger: it may say what runs, and what listens; never what shuts it in. What no launch could do is
left out.
"""

import posixpath
import re
import signal
from collections.abc import Mapping
from typing import Any

from treesmith.sandbox import signals

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PORT = re.compile(r"(?P<number>[0-9]{1,5})(?P<kind>/tcp|/udp)?", re.ASCII)


def launch(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config`: the whole document. The keys are [launch]'s; ports are published to the host itself only."""
    own = config.get("config")
    if not isinstance(own, dict):
        return {}
    found: dict[str, Any] = {
        "command": [*_texts(own.get("Entrypoint")), *_texts(own.get("Cmd"))],
        "env": dict(_variables(_texts(own.get("Env")))),
        "user": _text(own.get("User")),
        "chdir": _folder(_text(own.get("WorkingDir"))),
        "stop-signal": _signal(_text(own.get("StopSignal"))),
        "ports": _ports(own.get("ExposedPorts")),
    }
    return {key: value for key, value in found.items() if value}


def words(text: str) -> bool:
    """Whether it is more than one word, or no text at all: no image is called so."""
    return not text.isprintable() or any(character.isspace() for character in text)


def _text(value: object) -> str:
    return value if isinstance(value, str) and "\0" not in value else ""


def _texts(value: object) -> list[str]:
    """All or nothing: half a command is another command."""
    if isinstance(value, list) and all(isinstance(text, str) and "\0" not in text for text in value):
        return value
    return []


def _variables(pairs: list[str]) -> list[tuple[str, str]]:
    split = [pair.partition("=") for pair in pairs]
    return [(name, value) for name, _, value in split if _VARIABLE.fullmatch(name)]


def _folder(path: str) -> str:
    """ "" for the root itself, where a launch begins anyway."""
    plain = posixpath.normpath(f"/{path}").lstrip("/")
    return f"/{plain}" if plain else ""


def _signal(name: str) -> str:
    try:
        number = signals.number(name)
        return name.upper() if name.upper().startswith("SIG") else signal.Signals(number).name
    except ValueError:
        return ""


def _ports(value: object) -> list[str]:
    found = [_PORT.fullmatch(text) for text in value if isinstance(text, str)] if isinstance(value, dict) else []
    numbers = [(int(port["number"]), (port["kind"] or "").replace("/tcp", "")) for port in found if port]
    return [f"127.0.0.1:{number}:{number}{kind}" for number, kind in numbers if 0 < number < 65536]
