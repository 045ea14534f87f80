"""The program that executes another: as its assembly says, and as it runs."""

import os
import subprocess
from pathlib import Path

import pytest

from treesmith.linux.call import machine
from treesmith.sandbox import elf, hop


def test_the_code_is_the_assembly(tmp_path: Path) -> None:
    (tmp_path / "hop.s").write_text(hop.ASSEMBLY[machine])
    subprocess.run(["as", tmp_path / "hop.s", "-o", tmp_path / "hop.o"], check=True)
    code = tmp_path / "code"
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", tmp_path / "hop.o", code], check=True)
    assert code.read_bytes().hex() == hop.CODE[machine]


def run(path: object, *words: str) -> tuple[int, bytes]:
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.dup2(writer, 1)
            os.dup2(writer, 2)
            os.execve(hop.open(), hop.argv(str(path), list(words)), {"PATH": "/usr/bin:/bin", "A": "b"})
        finally:
            os._exit(99)
    os.close(writer)
    with open(reader, "rb") as file:
        said = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


def test_it_executes(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo $0 "$1" $A; exit 3\n')
    script.chmod(0o755)
    assert run("/bin/sh", "called", "-c", "echo $0 $A") == (0, b"called b\n")
    assert run("/usr/bin/env", "env") == (0, b"PATH=/usr/bin:/bin\nA=b\n")
    assert run(script, "script", "x  y") == (3, f"{script} x  y b\n".encode())
    assert run("/nothere", "nothere") == (126, b"")
    assert run(tmp_path, "folder") == (126, b"")


def test_it_is_static_and_sealed() -> None:
    memory = hop.open()
    try:
        assert elf.is_static(memory)
        with pytest.raises(PermissionError):
            os.pwrite(memory, b"x", 0)
    finally:
        os.close(memory)
