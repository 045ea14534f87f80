"""A tree as a service of the host: the text of a systemd unit, or of an init script. Pure.

systemd.service(5), systemd.resource-control(5); init scripts: LSB core, "Init Script Actions".
"""

import shlex

from treesmith.sandbox.limits import Limits

_STOP = 30  # s, before everything inside is killed


def systemd(tree: str, store: str, program: list[str], flags: list[str], limits: Limits) -> str:
    """`program` starts treesmith, `flags` are launch's, `limits` become the unit's."""
    here = [*program, "--store", store]
    launch = [*here, "launch", "--quiet", *flags, tree]
    stop = [*here, "stop", "--timeout", str(_STOP), tree]
    lines = [
        "[Unit]",
        f"Description={tree}, kept by treesmith",
        f"RequiresMountsFor={_quoted(store)}",
        *(["Wants=network-online.target", "After=network-online.target"] if "--network" in flags else []),
        "",
        "[Service]",
        "Type=notify",
        f"ExecStart={_line(launch)}",
        f"ExecStop={_line(stop)}",
        "KillMode=mixed",
        f"TimeoutStopSec={_STOP + 15}",
        "TimeoutStartSec=5min",
        "SuccessExitStatus=143",
        "Restart=on-failure",
        "RestartSec=1",
        "Delegate=yes",
        *_resources(limits),
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def _resources(limits: Limits) -> list[str]:
    made = {
        "MemoryMax": limits.memory,
        "CPUQuota": f"{round(limits.cpus * 100)}%" if limits.cpus else "",
        "AllowedCPUs": limits.cpuset,
        "TasksMax": limits.pids,
        "IOWeight": limits.io_weight,
    }
    swap = ["MemorySwapMax=0"] if limits.memory else []
    return [*(f"{key}={value}" for key, value in made.items() if value), *swap]


def _line(words: list[str]) -> str:
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """For systemd: "%" and "$" mean something to it, and quotes and spaces to its splitting."""
    word = word.replace("%", "%%").replace("$", "$$")
    if word and all(char.isalnum() or char in "/._-+=:,@%$" for char in word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


_SCRIPT = """#!/bin/sh
### BEGIN INIT INFO
# Provides:          treesmith-{tree}
# Required-Start:    $local_fs $remote_fs{network}
# Required-Stop:     $local_fs $remote_fs{network}
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: {tree}, kept by treesmith
### END INIT INFO
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

runs() {{ {here} ps | grep -q '^{pattern} '; }}

start() {{ runs || {launch} >/dev/null; }}

stop() {{ ! runs || {stop}; }}

case $1 in
    start) start ;;
    stop) stop ;;
    restart | force-reload) stop && start ;;
    status) if runs; then echo "{tree} is running"; else echo "{tree} is stopped"; exit 3; fi ;;
    *) echo "usage: $0 start|stop|restart|force-reload|status" >&2; exit 2 ;;
esac
"""


def sysv(tree: str, store: str, program: list[str], flags: list[str]) -> str:
    """Restarts nothing by itself: there is nobody to do it."""
    here = [*program, "--store", store]
    launch = [*here, "launch", "--quiet", "--detach", *flags, tree]
    return _SCRIPT.format(
        tree=tree,
        pattern=tree.replace(".", "\\."),
        network=" $network" if "--network" in flags else "",
        here=shlex.join(here),
        launch=shlex.join(launch),
        stop=shlex.join([*here, "stop", "--timeout", str(_STOP), tree]),
    )
