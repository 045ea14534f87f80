"""proc_pid_mountinfo(5)."""


def unescaped(field: str) -> str:
    """A path as it stands there, where space, tab, newline and backslash are \\ooo."""
    if "\\" not in field:
        return field
    first, *rest = field.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)
