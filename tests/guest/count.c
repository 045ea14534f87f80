/* Counts in its memory, by a connection to itself, into /counted, and holds a lock. With /stop it ends: with 0 if nobody
 * else could take the lock. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(5000)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listening = socket(AF_INET, SOCK_STREAM, 0), ours = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listening, (void *)&at, sizeof at) || listen(listening, 1) || connect(ours, (void *)&at, sizeof at)) return 1;
    int theirs = accept(listening, NULL, NULL);
    int lock = open("/locked", O_RDWR | O_CREAT, 0644), counted = open("/counted", O_WRONLY | O_CREAT, 0644);
    if (flock(lock, LOCK_EX)) return 2;
    for (int number = 1; access("/stop", F_OK); number++) {
        char line[16];
        if (send(ours, line, snprintf(line, sizeof line, "%d\n", number), 0) < 0) return 3;
        ssize_t length = recv(theirs, line, sizeof line, 0);
        if (length <= 0 || write(counted, line, length) != length) return 4;
        usleep(50000);
    }
    return !flock(open("/locked", O_RDWR), LOCK_EX | LOCK_NB);
}
