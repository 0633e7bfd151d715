// The floor: the minimal cost of a proxy between kubelet and the app. One thread, epoll, no parsing, no
// limits, no deadlines, no log; for each probe exactly accept4, read, socket, connect, write, read to the
// end, write, shutdown, two closes, and the epoll calls that these need.
//
//     floor LISTEN_PORT APP_PORT

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FDS = 1024, ANSWER = 4096, HEAD = 16384 };

// Indexed by descriptor. Untouched pages use no memory.
static struct {
    int client; // the client's descriptor, for a connection to the app; -1 for a client
    int len;
    char answer[ANSWER];
} slot[FDS];

static char head[HEAD];
static int epoll, listener;
static struct sockaddr_in app;

static void wait_for(int fd) {
    struct epoll_event want = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &want) < 0) _exit(3);
}

static void pass_on(int client, ssize_t len) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || fd >= FDS) _exit(4);
    // On loopback the connection is established when connect returns, so the head can follow at once.
    if ((connect(fd, (struct sockaddr *)&app, sizeof app) < 0 && errno != EINPROGRESS) ||
        write(fd, head, len) != len) {
        close(fd);
        close(client);
        return;
    }
    slot[fd].client = client;
    slot[fd].len = 0;
    wait_for(fd);
}

static void from_client(int fd) {
    ssize_t len = read(fd, head, HEAD);
    if (len > 0) {
        pass_on(fd, len);
    } else if (len < 0 && errno == EAGAIN) {
        slot[fd].client = -1;
        wait_for(fd);
    } else {
        close(fd);
    }
}

static void from_app(int fd) {
    int client = slot[fd].client;
    for (;;) {
        ssize_t len = read(fd, slot[fd].answer + slot[fd].len, ANSWER - slot[fd].len);
        if (len < 0 && errno == EAGAIN) return;
        if (len <= 0) break;
        slot[fd].len += len;
    }
    if (write(client, slot[fd].answer, slot[fd].len) == slot[fd].len) shutdown(client, SHUT_WR);
    close(client);
    close(fd);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    app = here;
    app.sin_port = htons(atoi(argv[2]));
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) < 0) return 1;
    if (listen(listener, 128) < 0) return 1;
    epoll = epoll_create1(EPOLL_CLOEXEC);
    wait_for(listener);
    for (;;) {
        struct epoll_event events[16];
        int ready = epoll_wait(epoll, events, 16, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (client >= FDS) _exit(4);
                if (client >= 0) from_client(client);
            } else if (slot[fd].client < 0) {
                // The head of this client arrived after its connection. From now on the client is only written to.
                epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
                from_client(fd);
            } else {
                from_app(fd);
            }
        }
    }
}
