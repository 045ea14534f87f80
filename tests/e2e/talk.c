/* talk serve tcp|udp [ADDRESS] PORT: says "up", then tells everybody who asks what his address is.
   talk ask tcp|udp ADDRESS PORT: prints the answer, or "nothing" after two seconds. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int kind = !strcmp(argv[2], "udp") ? SOCK_DGRAM : SOCK_STREAM, one = 1;
    int sock = socket(AF_INET, kind, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[argc - 1]))};
    char text[100];

    if (argc > 4)
        inet_pton(AF_INET, argv[3], &address.sin_addr);
    if (!strcmp(argv[1], "ask")) {
        struct timeval patience = {2, 0};
        ssize_t length = -1;

        setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (!connect(sock, (void *)&address, sizeof address) && send(sock, "question\n", 9, 0) == 9)
            length = recv(sock, text, sizeof text, 0);
        printf("%.*s", length > 0 ? (int)length : 8, length > 0 ? text : "nothing\n");
        return 0;
    }
    setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(sock, (void *)&address, sizeof address) || (kind == SOCK_STREAM && listen(sock, 100)))
        return 1;
    puts("up");
    fflush(stdout);
    for (;;) {
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;
        int asker = kind == SOCK_STREAM ? accept(sock, (void *)&peer, &size) : sock;

        if (recvfrom(asker, text, sizeof text, 0, kind == SOCK_DGRAM ? (void *)&peer : NULL, &size) < 0 && asker < 0)
            continue;
        inet_ntop(AF_INET, &peer.sin_addr, text, sizeof text);
        strcat(text, "\n");
        sendto(asker, text, strlen(text), 0, kind == SOCK_DGRAM ? (void *)&peer : NULL, sizeof peer);
        if (kind == SOCK_STREAM)
            close(asker);
    }
}
