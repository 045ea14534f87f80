"""The system calls a sandbox may make. podman's list (containers/common, seccomp.json) is where it began; what differs
is said here. A name that libseccomp does not know on a machine is none there."""

ALLOWED = """
accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_adjtime
clock_getres clock_gettime clock_nanosleep clone close close_range connect copy_file_range creat dup dup2 dup3
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown
fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex
futex_requeue futex_wait futex_waitv futex_wake futimesat get_mempolicy get_robust_list getcpu getcwd getdents
getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom
getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr getxattrat
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup
io_submit ioctl ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown
lgetxattr link linkat listen listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat madvise
map_shadow_stack mbind membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall
mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv
msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_getfd
pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2
prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6 ptrace pwrite64 pwritev pwritev2 read readahead
readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr removexattrat rename renameat
renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto
set_mempolicy set_mempolicy_home_node set_robust_list set_tid_address setfsgid setfsuid setgid setgroups setitimer
setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr setxattrat shmat
shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 socket socketpair splice stat statfs statx symlink
symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask uname unlink unlinkat unshare
utime utimensat utimes vfork wait4 waitid write writev
"""

# Known, and nobody's business here. Nor are keys, which are shared by all namespaces of a user but the user namespace's
# own: they are as on a kernel that has none. podman allows keyctl, which its runtime needs inside; ours has joined its
# keyring before.
REFUSED = """
kexec_file_load kexec_load lookup_dcookie migrate_pages move_pages nfsservctl swapoff swapon
sysfs uselib userfaultfd ustat vmsplice
"""

# By the capability (its number) that they are of no use without.
BY_CAPABILITY = {
    2: "open_by_handle_at",  # DAC_READ_SEARCH
    16: "delete_module finit_module init_module",  # SYS_MODULE
    17: "ioperm iopl",  # SYS_RAWIO
    18: "chroot",  # SYS_CHROOT
    19: "kcmp process_madvise",  # SYS_PTRACE
    20: "acct",  # SYS_PACCT
    21: "fanotify_init fanotify_mark fsconfig fsmount fsopen fspick listmount mount mount_setattr move_mount open_tree "
    "pivot_root quotactl quotactl_fd setdomainname sethostname setns statmount umount2",  # SYS_ADMIN
    22: "reboot",  # SYS_BOOT
    25: "clock_settime settimeofday",  # SYS_TIME
    26: "vhangup",  # SYS_TTY_CONFIG
    34: "syslog",  # SYSLOG: without it the kernel may show its log to anybody (kernel.dmesg_restrict)
    38: "perf_event_open",  # PERFMON
    39: "bpf",  # BPF
}

# What a build need not wait for.
SYNCS = ("fdatasync", "fsync", "msync", "sync", "sync_file_range", "syncfs")
