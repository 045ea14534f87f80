"""tar archives written entry by entry, and what a folder holds, to see that nothing in it was touched."""

import io
import tarfile
from pathlib import Path

Entry = tuple[str, dict[str, object], bytes]


def entry(name: str, type: bytes = tarfile.REGTYPE, data: bytes = b"", **fields: object) -> Entry:
    return name, {"type": type, "mode": 0o644, "mtime": 1_000_000_000, **fields}, data


def folder(name: str, **fields: object) -> Entry:
    return entry(name, tarfile.DIRTYPE, **{"mode": 0o755, **fields})


def link(name: str, target: str) -> Entry:
    return entry(name, tarfile.SYMTYPE, linkname=target)


def hard(name: str, target: str) -> Entry:
    return entry(name, tarfile.LNKTYPE, linkname=target)


def pack(*entries: Entry, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
        for name, fields, data in entries:
            member = tarfile.TarInfo(name)
            for field, value in fields.items():
                setattr(member, field, value)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def state(path: Path) -> list[tuple[object, ...]]:
    """Everything below `path` but for when it was read."""
    found = []
    for one in sorted([path, *path.rglob("*")]):
        status = one.lstat()
        kept = (status.st_mode, status.st_ino, status.st_nlink, status.st_uid, status.st_gid, status.st_size)
        data = one.read_bytes() if one.is_file() and not one.is_symlink() else b""
        found.append((str(one), kept, status.st_mtime_ns, status.st_ctime_ns, data))
    return found
