/* real_port.c - a loopback port that is free now, for TCP and for UDP, for a server that cannot be told to choose
 * itself. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
        for (int tries = 0; tries < 100; tries++) {
                struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
                socklen_t          len = sizeof address;
                int                stream = socket(AF_INET, SOCK_STREAM, 0), datagram = socket(AF_INET, SOCK_DGRAM, 0);

                if (bind(stream, (struct sockaddr *)&address, len) == 0 &&
                    getsockname(stream, (struct sockaddr *)&address, &len) == 0 &&
                    bind(datagram, (struct sockaddr *)&address, len) == 0) {
                        printf("%d\n", ntohs(address.sin_port));
                        return 0;
                }
                close(stream);
                close(datagram);
        }
        perror("real_port");
        return 1;
}
