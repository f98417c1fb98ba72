/* doctor_server.c - owns the rows about a Redis server: it is asked for what a listener would ask it for, in the same
 * order, on a connection that ends with the last row. Nothing is written. */
#include "doctor.h"

#include <bsd/string.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define DOCTOR_CHANNEL "__redis__:invalidate"
#define DOCTOR_RIGHTS  "ACL SETUSER name +client|tracking +client|id +info +ping +subscribe &" DOCTOR_CHANNEL

enum { DOCTOR_VERSION_MIN = 6, DOCTOR_PORT = 6379 };

static const struct timeval doctor_patience = {.tv_sec = 2};

/* What the server, or the connection, says against it. */
static const char *doctor_error(const redisContext *c, const redisReply *reply)
{
        if (reply && reply->str)
                return ctl_printable(reply->str);
        return strcmp(c->errstr, strerror(EAGAIN)) == 0 ? "no answer within two seconds" : ctl_printable(c->errstr);
}

static bool doctor_refused(const redisReply *reply)
{
        return !reply || reply->type == REDIS_REPLY_ERROR;
}

/* ---------------------------------------------------------------------------------------------- the connection */

/* "host:port", "[v6]:port", "host", or a path. */
static redisContext *doctor_connect(const char *address)
{
        char        host[256];
        const char *colon = strrchr(address, ':');
        int         port = DOCTOR_PORT;

        if (strchr(address, '/'))
                return redisConnectUnixWithTimeout(address, doctor_patience);
        strlcpy(host, address[0] == '[' ? address + 1 : address, sizeof host);
        if (colon && (address[0] != '[' || colon[-1] == ']')) {
                size_t len = (size_t)(colon - address);

                port = atoi(colon + 1);
                if (len < sizeof host)
                        host[len] = '\0';
        }
        if (address[0] == '[')
                host[strcspn(host, "]")] = '\0';
        return redisConnectWithTimeout(host, port, doctor_patience);
}

/* The first line of the file, as the listener reads it. */
static bool doctor_password(struct doctor *d, char *password, size_t size)
{
        FILE *file = fopen(d->options.password_file, "re");
        bool  read = file && fgets(password, (int)size, file);

        if (read)
                password[strcspn(password, "\r\n")] = '\0';
        else
                doctor_row(d, DOCTOR_FAIL, "credentials", "let the program's user read it",
                           "MTSHIM_PASSWORD_FILE=%s: %s", ctl_printable(d->options.password_file),
                           file ? "empty" : strerror(errno));
        if (file)
                fclose(file);
        return read;
}

static bool doctor_authenticate(struct doctor *d, redisContext *c)
{
        char        password[1024];
        redisReply *reply;

        if (!d->options.password_file[0])
                return true;
        if (!doctor_password(d, password, sizeof password))
                return false;
        reply = d->options.user[0] ? redisCommand(c, "AUTH %s %s", d->options.user, password)
                                   : redisCommand(c, "AUTH %s", password);
        explicit_bzero(password, sizeof password);
        bool refused = doctor_refused(reply);

        if (refused)
                doctor_row(d, DOCTOR_FAIL, "credentials", "mend MTSHIM_USER and MTSHIM_PASSWORD_FILE", "%s",
                           doctor_error(c, reply));
        freeReplyObject(reply);
        return !refused;
}

static void doctor_identity(struct doctor *d, redisContext *c)
{
        redisReply *reply = redisCommand(c, "ACL WHOAMI");
        const char *name = reply && reply->type == REDIS_REPLY_STRING ? reply->str : "an unknown user";

        doctor_row(d, DOCTOR_OK, "credentials", NULL, "asked as %s (%s)", ctl_printable(name),
                   d->options.password_file[0] ? "MTSHIM_PASSWORD_FILE" : "a listener uses what the program sends");
        freeReplyObject(reply);
}

/* ------------------------------------------------------------------------------------------- what it can and may */

/* A field of INFO, cut out; false when it is not there. */
static bool doctor_info(const redisReply *reply, const char *field, char *out, size_t size)
{
        const char *at = reply && reply->type == REDIS_REPLY_STRING ? strstr(reply->str, field) : NULL;

        if (!at)
                return false;
        at += strlen(field);
        size_t len = strcspn(at, "\r\n");

        strlcpy(out, at, len + 1 < size ? len + 1 : size);
        return true;
}

static void doctor_version(struct doctor *d, redisContext *c)
{
        redisReply *reply = redisCommand(c, "INFO server");
        char        version[64], mode[64];

        if (!doctor_info(reply, "redis_version:", version, sizeof version)) {
                doctor_row(d, DOCTOR_WARN, "version",
                           "allow +info: without it a server that was replaced is not noticed", "%s",
                           doctor_error(c, reply));
        } else if (atoi(version) < DOCTOR_VERSION_MIN) {
                doctor_row(d, DOCTOR_FAIL, "version", "use Redis 6 or later: older ones cannot announce writes", "%s",
                           ctl_printable(version));
        } else {
                doctor_row(d, DOCTOR_OK, "version", NULL, "%s", ctl_printable(version));
        }
        if (doctor_info(reply, "redis_mode:", mode, sizeof mode) && strcmp(mode, "cluster") == 0)
                doctor_row(d, DOCTOR_FAIL, "mode", "nothing to be done: its programs are passed through",
                           "cluster: not served in this version");
        else
                doctor_row(d, DOCTOR_OK, "mode", NULL, "no cluster");
        freeReplyObject(reply);
}

/* The program's own right to ask for a key's time to live: without it nothing of that user is kept. */
static void doctor_pttl(struct doctor *d, redisContext *c)
{
        redisReply *reply = redisCommand(c, "PTTL mtshim:doctor");

        if (doctor_refused(reply) && !(reply && strstr(reply->str, "key")))
                doctor_row(d, DOCTOR_WARN, "ttl", "allow +pttl to the users whose values are to be kept", "PTTL: %s",
                           doctor_error(c, reply));
        else
                doctor_row(d, DOCTOR_OK, "ttl", NULL, "PTTL is allowed");
        freeReplyObject(reply);
}

static bool doctor_step(struct doctor *d, redisContext *c, const char *command, long long *integer)
{
        redisReply *reply = redisCommand(c, command);
        bool        refused = doctor_refused(reply);

        if (refused)
                doctor_row(d, DOCTOR_FAIL, "tracking", DOCTOR_RIGHTS, "%s: %s", command, doctor_error(c, reply));
        else
                *integer = reply->integer;
        freeReplyObject(reply);
        return !refused;
}

/* What a listener does, in its order; the first refusal ends it. */
static void doctor_tracking(struct doctor *d, redisContext *c)
{
        char      tracking[80];
        long long id, ignored;

        if (!doctor_step(d, c, "CLIENT ID", &id))
                return;
        snprintf(tracking, sizeof tracking, "CLIENT TRACKING ON REDIRECT %lld BCAST", id);
        if (doctor_step(d, c, tracking, &ignored) && doctor_step(d, c, "PING", &ignored) &&
            doctor_step(d, c, "SUBSCRIBE " DOCTOR_CHANNEL, &ignored))
                doctor_row(d, DOCTOR_OK, "tracking", NULL, "CLIENT TRACKING and SUBSCRIBE are allowed");
}

/* Does it speak to us at all? */
static bool doctor_speaks(struct doctor *d, redisContext *c, const char *address)
{
        redisReply *reply = redisCommand(c, "PING");
        bool        refused = doctor_refused(reply);

        if (refused && reply && strncmp(reply->str, "NOAUTH", 6) == 0)
                doctor_row(d, DOCTOR_WARN, "server", "set MTSHIM_USER and MTSHIM_PASSWORD_FILE to have it looked at",
                           "%s wants a password", ctl_printable(address));
        else if (refused && !(reply && strncmp(reply->str, "NOPERM", 6) == 0))
                doctor_row(d, DOCTOR_FAIL, "server", "no key is served while it says so", "%s: %s",
                           ctl_printable(address), doctor_error(c, reply));
        else
                doctor_row(d, DOCTOR_OK, "server", NULL, "%s answers", ctl_printable(address));
        freeReplyObject(reply);
        return !refused;
}

void doctor_server(struct doctor *d, const char *address)
{
        redisContext *c = doctor_connect(address);

        if (!c || c->err) {
                doctor_row(d, DOCTOR_FAIL, "server", "start it, or mend the address", "%s: %s", ctl_printable(address),
                           c ? ctl_printable(c->errstr) : "out of memory");
        } else {
                redisSetTimeout(c, doctor_patience);
                if (doctor_authenticate(d, c) && doctor_speaks(d, c, address)) {
                        doctor_identity(d, c);
                        doctor_version(d, c);
                        doctor_pttl(d, c);
                        doctor_tracking(d, c);
                }
        }
        if (c)
                redisFree(c);
}
