"""Programs for other machines, by qemu-user, for as long as a test takes."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path("/proc/sys/fs/binfmt_misc")
# A program for 64-bit RISC-V, by hand: write(1, text, length), exit(0).
_CODE = (0x00100513, 0x00000597, 0x02058593, 0x00000613, 0x04000893, 0x73, 0x00000513, 0x05D00893, 0x73)
_PLACE = 0x10000


@contextmanager
def emulated(machine: str) -> Iterator[None]:
    """Registered with the kernel, whoever else has done so; qemu's own entry, under a name of the tests'."""
    mounted = not (FOLDER / "status").exists()
    if mounted:
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", FOLDER], check=True)
    name = f"treesmith-{machine}"
    try:
        entry = Path(f"/usr/lib/binfmt.d/qemu-{machine}.conf").read_text().strip()
        (FOLDER / "register").write_text(entry.replace(f":qemu-{machine}:", f":{name}:", 1))
        yield
    finally:
        if (FOLDER / name).exists():
            (FOLDER / name).write_text("-1")
        if mounted:
            subprocess.run(["umount", FOLDER], check=True)


def riscv(text: str) -> bytes:
    """A static program for riscv64 that says `text`."""
    said = text.encode()
    code = b"".join(word.to_bytes(4, "little") for word in (*_CODE[:3], _CODE[3] | len(said) << 20, *_CODE[4:])) + said
    head = 64 + 56
    numbers = ((2, 2), (243, 2), (1, 4), (_PLACE + head, 8), (64, 8), (0, 8), (0, 4), (64, 2), (56, 2), (1, 2))
    elf = b"\x7fELF\x02\x01\x01" + bytes(9) + b"".join(value.to_bytes(size, "little") for value, size in numbers)
    elf += bytes(6)
    size = head + len(code)
    segment = ((1, 4), (5, 4), (0, 8), (_PLACE, 8), (_PLACE, 8), (size, 8), (size, 8), (4096, 8))
    return elf + b"".join(value.to_bytes(width, "little") for value, width in segment) + code
