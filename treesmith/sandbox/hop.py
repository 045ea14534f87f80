"""A program of a few instructions, in a sealed memory file, that executes another one.

Who enters a sandbox executes it instead of the command, which may be a script with `#!/proc/self/exe`: the kernel opens
that as the file which the process is running, and would otherwise hand our interpreter in.

As execvp(3), it gives what the kernel cannot execute (ENOEXEC) to /bin/sh, as a script. Else it ends with 126.
"""

import os

from treesmith.linux.call import machine, packed
from treesmith.sandbox import init

# With the stack as execve(2) leaves it: the count of arguments, their addresses, zero, those of the environment.
ASSEMBLY = {
    "x86_64": """
        mov 8(%rsp), %rdi               # the path
        mov (%rsp), %rax
        cmp $3, %rax                    # fewer where it is its own path: else it would go on for ever
        jb out
        lea 16(%rsp,%rax,8), %rdx       # the environment
        lea 24(%rsp), %rsi              # the arguments, from the third on
        mov $59, %eax                   # execve
        syscall
        cmp $-8, %rax                   # ENOEXEC
        jne out
        mov %rdi, 24(%rsp)              # the third: the path, too
        lea sh(%rip), %rdi
        lea 16(%rsp), %rsi              # from the second on: "sh"
        mov $59, %eax
        syscall
out:    mov $126, %edi
        mov $231, %eax                  # exit_group
        syscall
sh:     .asciz "/bin/sh"
""",
    "aarch64": """
        ldr x9, [sp]
        cmp x9, #3
        b.lo out
        ldr x0, [sp, #8]
        add x2, sp, #16
        add x2, x2, x9, lsl #3
        add x1, sp, #24
        mov x8, #221
        svc #0
        cmn x0, #8
        b.ne out
        ldr x0, [sp, #8]
        str x0, [sp, #24]
        adr x0, sh
        add x1, sp, #16
        svc #0
out:    mov x0, #126
        mov x8, #94
        svc #0
sh:     .asciz "/bin/sh"
""",
}
CODE = {
    "x86_64": "488b7c2408488b04244883f803722f488d54c410488d742418b83b0000000f054883f8f8751848897c2418488d3d1800"
    "0000488d742410b83b0000000f05bf7e000000b8e70000000f052f62696e2f736800",
    "aarch64": "e90340f93f0d00f1c3010054e00740f9e2430091420c098be1630091a81b80d2010000d41f2000b1c1000054e00740f9"
    "e00f00f9c0000010e1430091010000d4c00f80d2c80b80d2010000d42f62696e2f736800",
}
_NUMBERS = {"x86_64": 62, "aarch64": 183}  # EM_*
_HEADERS = 64 + 56  # bytes
_ADDRESS = 0x400000


def open() -> int:
    """The file, to be executed."""
    memory = init.memory("hop")
    os.write(memory, program(machine))
    init.seal(memory)
    return memory


def argv(path: str, words: "list[str]") -> "list[str]":
    """What it is executed with, to execute `path` with the arguments `words`."""
    return [path, "sh", *words]


def program(machine: str) -> bytes:
    """elf(5): one header, one segment that is the whole file, to be read and executed."""
    code = bytes.fromhex(CODE[machine])
    size = _HEADERS + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = packed(2, 2, _NUMBERS[machine]) + packed(4, 1) + packed(8, _ADDRESS + _HEADERS, 64, 0)
    header += packed(4, 0) + packed(2, 64, 56, 1, 0, 0, 0)
    segment = packed(4, 1, 5) + packed(8, 0, _ADDRESS, _ADDRESS, size, size, 0x1000)
    return ident + header + segment + code
