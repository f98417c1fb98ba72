/* async.h - an adapter of hiredis' asynchronous API for poll(): one context at a time. */
#ifndef TESTS_ASYNC_H
#define TESTS_ASYNC_H

#include "common.h"

#include <hiredis/async.h>
#include <poll.h>

static short async_wanted;

static UNUSED void async_add_read(void *arg)
{
        (void)arg;
        async_wanted |= POLLIN;
}
static UNUSED void async_del_read(void *arg)
{
        (void)arg;
        async_wanted &= ~POLLIN;
}
static UNUSED void async_add_write(void *arg)
{
        (void)arg;
        async_wanted |= POLLOUT;
}
static UNUSED void async_del_write(void *arg)
{
        (void)arg;
        async_wanted &= ~POLLOUT;
}

static UNUSED redisAsyncContext *async_connect(void)
{
        char               host[64];
        int                port = server_port(host);
        redisAsyncContext *ac = port != 0 ? redisAsyncConnect(host, port) : redisAsyncConnectUnix(server_name());

        if (ac == NULL || ac->err != 0)
                die("redisAsyncConnect: %s", ac != NULL ? ac->errstr : "no memory");
        ac->ev.data = &async_wanted;
        ac->ev.addRead = async_add_read;
        ac->ev.delRead = async_del_read;
        ac->ev.addWrite = async_add_write;
        ac->ev.delWrite = async_del_write;
        async_wanted = POLLIN | POLLOUT; /* the first write event ends the connect */
        return ac;
}

/* Until a callback says that it is done. */
static UNUSED void async_until(redisAsyncContext *ac, const bool *done)
{
        while (!*done) {
                struct pollfd fd = {.fd = ac->c.fd, .events = async_wanted};

                if (poll(&fd, 1, 5000) <= 0)
                        die("no event");
                if ((fd.revents & POLLOUT) != 0)
                        redisAsyncHandleWrite(ac);
                if ((fd.revents & (POLLIN | POLLHUP)) != 0)
                        redisAsyncHandleRead(ac);
        }
}

#endif
