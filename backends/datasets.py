"""What /proc and zfs(8) tell of datasets, where libzfs_core says nothing."""

import os

from treesmith.errors import Error


def dataset_of(store: str) -> str:
    """The dataset that the directory lies on. Error: on none."""
    device = os.stat(store).st_dev
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields, _, about = line.rstrip("\n").partition(" - ")
            major, _, minor = fields.split(" ")[2].partition(":")
            kind, source = about.split(" ")[:2]
            if kind == "zfs" and os.makedev(int(major), int(minor)) == device and "@" not in source:
                return source
    raise Error(f"{store} is not on ZFS")


def holders(dataset: str) -> str:
    """Who has it mounted, by name and process id, as /proc/*/mountinfo tells."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
                sources = [line.rpartition(" - ")[2].split(" ")[1] for line in file]
            if any(source == dataset or source.startswith(f"{dataset}@") for source in sources):
                with open(f"/proc/{pid}/comm") as file:
                    found.append(f"{file.read().strip()} ({pid})")
        except OSError:
            continue
    return ", ".join(found[:5])


def table(verb: str, *arguments: str) -> "list[list[str]]":
    """What the program says, which knows properties and lists. Error: it fails."""
    from treesmith.run import output

    machine = ("-H", "-p") if verb in ("list", "get") else ()
    return [line.split("\t") for line in output(("zfs", verb, *machine, *arguments)).splitlines()]
