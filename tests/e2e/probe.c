/* probe NUMBER [ARGUMENT...]: one system call; says "ok", or its result if the last argument is "serial",
   or its errno. Without arguments: the first in i386's way. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words)
{
    long values[7] = {0};
#ifdef __x86_64__
    if (count == 1) {
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory"); /* getpid */
        return printf("%ld\n", -result) < 0;
    }
#endif
    for (int at = 1; at < count && at < 8; at++)
        values[at - 1] = (long)strtoul(words[at], 0, 0);
    errno = 0;
    long result = syscall(values[0], values[1], values[2], values[3], values[4], values[5], values[6]);
    if (result < 0)
        return printf("%d\n", errno) < 0;
    if (!strcmp(words[count - 1], "serial"))
        return printf("%ld\n", result) < 0;
    return puts("ok") < 0;
}
