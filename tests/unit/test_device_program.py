"""What the program at a cgroup answers, asked as the kernel would."""

import struct

from treesmith.sandbox import devices


def answer(kind: int, major: int, minor: int) -> int:
    code = list(struct.iter_unpack("=BBhi", devices.program()))
    asked = {0: kind | 6 << 16, 4: major, 8: minor}
    registers, at = {0: -1}, 0
    while True:
        operation, names, offset, value = code[at]
        register = names & 15
        at += 1
        if operation == 0x61:
            registers[register] = asked[offset]
        elif operation == 0x57:
            registers[register] &= value
        elif operation == 0xB7:
            registers[register] = value
        elif operation == 0x95:
            return registers[0]
        elif (registers[register] == value) == (operation == 0x15):
            at += offset


def test_what_may_be_opened() -> None:
    numbers = [*range(12), 136, 137, 229, 256 + 1]
    allowed = {(major, minor) for major in numbers for minor in range(300) if answer(2, major, minor)}
    assert allowed == {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), *((136, n) for n in range(300))}
    assert not any(answer(1, major, minor) for major in numbers for minor in range(20))
