"""Who a command runs as, by the root's own /etc/passwd and /etc/group: passwd(5), group(5)."""

import os

from treesmith.errors import Error
from treesmith.linux.file import open_inside

_LIMIT = 1 << 24  # bytes; the files are the root's, and may be anything


class Account:
    __slots__ = ("gid", "groups", "home", "shell", "uid")

    def __init__(self, uid: int, gid: int, groups: "list[int]", home: str, shell: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups  # supplementary
        self.home = home
        self.shell = shell


def look_up(root: int, user: str) -> Account:
    """`user` is "", "name", "uid", "uid:gid" or "name:group". Who is not in the files has group 0 and home "/"."""
    name, _, group = (user or "0").partition(":")
    passwd = [row for row in _rows(root, "etc/passwd") if len(row) == 7 and row[2].isdecimal() and row[3].isdecimal()]
    groups = [row for row in _rows(root, "etc/group") if len(row) == 4 and row[2].isdecimal()]
    row = next((row for row in passwd if row[0] == name), None) or next((r for r in passwd if r[2] == name), None)
    if row:
        account = Account(int(row[2]), int(row[3]), _member_of(groups, row[0]), row[5] or "/", row[6])
    elif name.isdecimal():
        account = Account(int(name), 0, [], "/root" if name == "0" else "/", "")
    else:
        raise _unknown("user", name, "/etc/passwd")
    if group:
        account.gid, account.groups = _group(groups, group), []
    return account


def _group(groups: "list[list[str]]", name: str) -> int:
    row = next((row for row in groups if row[0] == name), None)
    if row:
        return int(row[2])
    if name.isdecimal():
        return int(name)
    raise _unknown("group", name, "/etc/group")


def _unknown(kind: str, name: str, file: str) -> Error:
    return Error(f"no {kind} {name!r} in the tree", f"its {file} does not list it", f"give a number, or add the {kind}")


def _member_of(groups: "list[list[str]]", name: str) -> "list[int]":
    return [int(row[2]) for row in groups if name in row[3].split(",")]


def _rows(root: int, path: str) -> "list[list[str]]":
    """The lines of a file inside `root`; none where it is missing or no plain file."""
    try:
        fd = open_inside(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)  # a FIFO must not hold us
    except OSError:
        return []
    try:
        if os.fstat(fd).st_mode & 0o170000 != 0o100000:
            return []
        text = os.read(fd, _LIMIT).decode(errors="surrogateescape")
    finally:
        os.close(fd)
    return [line.split(":") for line in text.splitlines()]
