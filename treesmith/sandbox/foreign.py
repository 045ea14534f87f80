"""Programs for a machine of another kind, run by an emulator: Documentation/admin-guide/binfmt-misc.rst."""

import os

from treesmith.errors import Error
from treesmith.linux.call import machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# EI_CLASS, EI_DATA and e_machine of elf(5).
_HEADS = {
    "aarch64": (2, 1, 183), "alpha": (2, 1, 0x9026), "armv7l": (1, 1, 40), "i686": (1, 1, 3),
    "loongarch64": (2, 1, 258), "m68k": (1, 2, 4), "parisc": (1, 2, 15), "ppc": (1, 2, 20), "ppc64": (2, 2, 21),
    "ppc64le": (2, 1, 21), "riscv64": (2, 1, 243), "s390x": (2, 2, 22), "sh4": (1, 1, 42), "sparc64": (2, 2, 43),
    "x86_64": (2, 1, 62),
}  # fmt: skip
_EXEC = 2
_FOLDER = "/proc/sys/fs/binfmt_misc"
_HINT = "Debian: apt install qemu-user-static binfmt-support"


def _takes(entry: "Mapping[str, str]", head: bytes) -> bool:
    """Whether a program that begins so goes to the entry's interpreter."""
    if "magic" not in entry:
        return False
    start, magic = int(entry["offset"]), bytes.fromhex(entry["magic"])
    mask = bytes.fromhex(entry.get("mask", "ff" * len(magic)))
    part, wanted, bits = (int.from_bytes(text, "big") for text in (head[start : start + len(magic)], magic, mask))
    return start + len(magic) <= len(head) and (part ^ wanted) & bits == 0


def check(arch: str, folder: str = _FOLDER) -> None:
    """Error: programs for `arch`, the kernel's word, do not run here, not even inside a root that knows nothing of it.

    The sandbox's filter refuses the calls of a second architecture that the processor itself may know, as i686's.
    """
    if arch == machine:
        return
    found = [entry for entry in _entries(folder) if _takes(entry, _head(arch))]
    if any("F" in entry.get("flags", "") for entry in found):  # opened when it was registered
        return
    brief = f"programs for {arch} do not run on this machine, which is {machine}"
    if found:
        raise Error(brief, f"{found[0].get('interpreter')} would run them, but is registered without the flag F", _HINT)
    raise Error(brief, f"nothing in {folder} is for them", _HINT)


def _head(arch: str) -> bytes:
    """The first bytes of a program."""
    kind, data, number = _HEADS.get(arch, (0, 0, 0))
    words = (word.to_bytes(2, "big" if data == 2 else "little") for word in (_EXEC, number))
    return b"\x7fELF" + bytes((kind, data, 1)) + bytes(9) + b"".join(words)


def _entries(folder: str) -> list[dict[str, str]]:
    """Those that are switched on."""
    found = []
    if _text(f"{folder}/status").strip() == "enabled":
        for name in sorted({*os.listdir(folder)} - {"register", "status"}):
            state, *lines = _text(f"{folder}/{name}").splitlines() or [""]
            if state == "enabled":
                words = (line.replace(":", "", 1).partition(" ") for line in lines)
                found.append({word: value.strip() for word, _, value in words})
    return found


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
