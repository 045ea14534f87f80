/* tell TEXT... [-- COMMAND...]: each as a message to NOTIFY_SOCKET, as sd_notify(3) does; then execute the command. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    int sock = socket(AF_UNIX, SOCK_DGRAM, 0);

    if (!path || strlen(path) >= sizeof to.sun_path)
        return 2;
    strcpy(to.sun_path, path);
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--"))
            return execvp(argv[i + 1], argv + i + 1);
        else if (sendto(sock, argv[i], strlen(argv[i]), 0, (void *)&to, sizeof to) < 0)
            return 1;
    return 0;
}
