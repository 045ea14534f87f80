"""Words that somebody may type for an option of launch: what is meant, what is nearly that, and what is not at all."""

from hypothesis import strategies as st

_PIECES = [
    "", "a", "/", "//", "/..", "..", ".", ":", "=", ",", "-", "ro", "noidmap", "suid", "idmap", " ", "\n", "é", "٣",
    "\udcff", "%s", "{}", "-1", "0", "1", "9" * 30, "65536", "4294967295", "/proc/self", "tcp", "[::1]", "*", "'", "~",
]  # fmt: skip
_PATHS = ["/tmp", "/etc/hostname", "/dev/null", "/proc", "/nowhere", "/dev/fd/0", ".", "/sys/kernel", "/dev/shm", ""]
_TARGETS = [
    "/data", "/a/b/c", "/etc", "/etc/hosts", "/etc/passwd", "/proc", "/proc/1", "/proc/self/fd", "/dev", "/dev/null",
    "/sys", "/run", "/tmp", "/root/", "/./data", "/home/me", "data", "/", "", "/dev/pts", "/etc/passwd/x",
]  # fmt: skip
_MEANT = {
    "bind": [f"{source}:{target}{end}" for source in _PATHS for target in _TARGETS for end in ("", ":ro", ":noidmap")],
    "overlay": [f"{source}:{target}" for source in _PATHS for target in _TARGETS],
    "tmpfs": [f"{target}{end}" for target in _TARGETS for end in ("", ":1M", ":0", ":1", ":101%", ":99999999G")],
    "setenv": ["A=1", "A=", "=", "A", "PATH=", "HOME=/x", "A=\n", "LD_PRELOAD=/x", "é=é"],
    "user": ["me", "root", "0", "1000:50", "65535", "65536", "4294967295", "4294967296", "1:4294967295", ":"],
    "chdir": [*_TARGETS, "/proc/1/root", "/proc/self/cwd", "/dev/fd/0"],
    "hostname": ["x", "a" * 64, "a" * 65, "-", ".", "x y"],
    "memory": ["1M", "8M", "1G", "1", "0", "1T", "9" * 18, "1.5G", "1Q", "m"],
    "cpus": ["1", "0.5", ".", "1e3", "inf", "nan", "0", "-1", "1.", "0.001"],
    "cpuset": ["0", "0-1", "0,1", "1-0", "9999", "0-", ",", "0-3,6", "00"],
    "pids": ["1", "2", "20", "0", "4194304", "4194305"],
    "io-weight": ["1", "100", "1000", "1001", "0"],
    "port": ["8080:80", "80", "0:1", "1:65536", "127.0.0.1:1:2", "[::1]:1:2", "1:2/udp", "1:2/sctp", "1:2:3:4"],
    "network": ["none", "host", "bridge"],
    "name": ["x", "-x", "a" * 65, "../x", "x/y"],
    "seccomp": ["on", "off", "of"],
    "cap-add": ["CHOWN", "cap_net_raw", "ALL", "SYS_ADMN", "40", "SYS_ADMIN"],
    "cap-drop": ["all", "CHOWN", "cap_setfcap", "x"],
    "private-users": ["yes", "no", "maybe"],
    "isolation": ["chroot", "namespaces", "vm"],
}  # fmt: skip
OPTIONS = tuple(_MEANT)


def word(option: str) -> st.SearchStrategy[str]:
    """One that an option may be given. None has a zero byte in it: no command line can."""
    meant = st.sampled_from(_MEANT[option])
    odd = st.lists(st.sampled_from(_PIECES), max_size=5).map("".join)
    return st.one_of(meant, meant, odd, st.tuples(meant, odd).map("".join), st.tuples(odd, meant).map("".join))


def some(options: tuple[str, ...] = OPTIONS, most: int = 4) -> st.SearchStrategy[list[tuple[str, str]]]:
    """Options with their words, as they are typed."""
    one = st.sampled_from(options).flatmap(lambda option: st.tuples(st.just(option), word(option)))
    return st.lists(one, min_size=1, max_size=most)
