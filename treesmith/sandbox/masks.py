"""What of /proc and /sys is hidden or read-only, as podman has it. Holds where the sandbox has no SYS_ADMIN."""

import os

from treesmith.linux.mount import NODEV, NOEXEC, NOSUID, RDONLY, move_mount, open_tree, set_attributes

_HIDDEN = ("acpi", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi", "interrupts")
_HIDDEN_SYS = ("firmware", "devices/virtual/powercap")
_READ_ONLY = ("asound", "bus", "fs", "irq", "sys", "sysrq-trigger")


def protect(scratch: int, proc: int, sysfs: int) -> None:
    """Works on descriptors of our own proc and sysfs: whatever the root has at those paths (CVE-2025-52881).

    `scratch` is a tmpfs that is attached somewhere: the inodes that hide others are ours and lie there.
    """
    os.close(os.open("nothing", os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0, dir_fd=scratch))
    os.mkdir("nowhere", 0, dir_fd=scratch)
    for at, path in (*((proc, path) for path in _HIDDEN), *((sysfs, path) for path in _HIDDEN_SYS)):
        try:
            is_directory = os.stat(path, dir_fd=at).st_mode & 0o170000 == 0o040000
        except FileNotFoundError:
            continue
        mask = open_tree("nowhere" if is_directory else "nothing", scratch)
        set_attributes(mask, RDONLY | NOSUID | NODEV | NOEXEC)
        move_mount(mask, at, path)
        os.close(mask)
    for path in _READ_ONLY:
        try:
            same = open_tree(path, proc, recursive=True)
        except FileNotFoundError:
            continue
        set_attributes(same, RDONLY)
        move_mount(same, proc, path)
        os.close(same)
