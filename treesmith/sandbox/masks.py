"""What of /proc and /sys is hidden or read-only, as podman has it. Holds where the sandbox has no SYS_ADMIN.

Without private users root inside is whom the files of /proc belong to, so that their modes keep nothing from it: what
only root may read is hidden then, and what only root may write is read-only.
"""

import os

from treesmith.linux.mount import NODEV, NOEXEC, NOSUID, RDONLY, move_mount, open_tree, set_attributes

_HIDDEN = ("acpi", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi", "interrupts")
_HIDDEN_SYS = ("firmware", "devices/virtual/powercap")
_READ_ONLY = ("asound", "bus", "fs", "irq", "sys", "sysrq-trigger")


def protect(scratch: int, proc: int, sysfs: int, private_users: bool) -> None:
    """Works on descriptors of our own proc and sysfs: whatever the root has at those paths (CVE-2025-52881).

    `scratch` is a tmpfs that is attached somewhere: the inodes that hide others are ours and lie there.
    """
    os.close(os.open("nothing", os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0, dir_fd=scratch))
    os.mkdir("nowhere", 0, dir_fd=scratch)
    hidden, read_only = (_HIDDEN, _READ_ONLY) if private_users else _roots(proc)
    for at, path in (*((proc, path) for path in hidden), *((sysfs, path) for path in _HIDDEN_SYS)):
        try:
            is_directory = os.stat(path, dir_fd=at).st_mode & 0o170000 == 0o040000
        except FileNotFoundError:
            continue
        mask = open_tree("nowhere" if is_directory else "nothing", scratch)
        set_attributes(mask, RDONLY | NOSUID | NODEV | NOEXEC)
        move_mount(mask, at, path)
        os.close(mask)
    for path in read_only:
        try:
            same = open_tree(path, proc, recursive=True)
        except FileNotFoundError:
            continue
        set_attributes(same, RDONLY)
        move_mount(same, proc, path)
        os.close(same)


def _roots(proc: int) -> "tuple[tuple[str, ...], tuple[str, ...]]":
    """What is hidden and what is read-only of a /proc that root inside owns; processes have their own rules."""
    hidden, read_only = set(_HIDDEN), set(_READ_ONLY)
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc)
    for name in os.listdir(folder):
        mode = os.lstat(name, dir_fd=folder).st_mode
        if name.isdecimal() or mode & 0o170000 == 0o120000:
            continue
        if not mode & 0o004:
            hidden.add(name)
        elif mode & 0o222 or mode & 0o170000 == 0o040000:
            read_only.add(name)
    os.close(folder)
    return tuple(hidden), tuple(read_only - hidden)
