/* writer.c - writes, or reads, as fast as one thread can, and says what that cost the server by the server's own count.
 *
 *   writer CLIENTS DEPTH MS set|get           CLIENTS connections, DEPTH commands on each before it waits
 *   writer CLIENTS DEPTH MS publish CHANNEL   each SET followed by a PUBLISH of the key, in the same write
 *   writer 0 0 MS idle                        nothing for so long
 *   writer 1 1 MS lag SERVER                  SETs, and how long after the acknowledgement a listener at SERVER is told
 *
 * Prints, separated by tabs: commands, seconds, the server's CPU seconds, bytes and writes that it sent, p50 and p99 in
 * microseconds of a round trip (lag: of the lag). MT_REDIS names the server; MT_REPLICA another whose CPU seconds are
 * wanted as well, in an eighth column. Keys have 24 bytes and values 100. */
#include "tracker.h"

enum { KEYS = 100000, KEY = 24, VALUE = 100, CLIENTS_MAX = 64, DEPTH_MAX = 1000, COMMAND_MAX = 320 };
enum { SAMPLES_MAX = 1 << 20 };

/* What the server says of itself. */
struct account {
        double cpu_s, bytes, writes;
};

static double   samples[SAMPLES_MAX];
static size_t   sampled;
static uint64_t seed = 88172645463325252;

static uint64_t draw(void)
{
        seed ^= seed << 13;
        seed ^= seed >> 7;
        return seed ^= seed << 17;
}

static double field(const char *info, const char *name)
{
        const char *at = strstr(info, name);

        if (at == NULL)
                die("INFO has no %s", name);
        return atof(at + strlen(name));
}

static struct account account(redisContext *c)
{
        redisReply    *r = redisCommand(c, "INFO");
        struct account a;

        if (r == NULL || r->type != REDIS_REPLY_STRING)
                die("INFO: %s", c->errstr);
        a.cpu_s = field(r->str, "used_cpu_sys:") + field(r->str, "used_cpu_user:");
        a.bytes = field(r->str, "total_net_output_bytes:");
        a.writes = field(r->str, "total_writes_processed:");
        freeReplyObject(r);
        return a;
}

static redisContext *connect_to(const char *name)
{
        char         *own = strdup(server_name());
        redisContext *c;

        setenv("MT_REDIS", name, 1);
        c = must_connect();
        setenv("MT_REDIS", own, 1);
        free(own);
        return c;
}

/* --------------------------------------------------------------------------------------------------- commands */

static size_t put_command(char *to, const char *what, const char *channel, uint64_t key)
{
        char name[KEY + 1];
        int  n;

        snprintf(name, sizeof(name), "hosts:%018llu", (unsigned long long)(key % KEYS));
        if (strcmp(what, "get") == 0)
                return (size_t)sprintf(to, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", KEY, name);
        n = sprintf(to, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%0*d\r\n", KEY, name, VALUE, VALUE, 0);
        if (channel != NULL)
                n += sprintf(to + n, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%d\r\n%s\r\n", strlen(channel), channel,
                             KEY, name);
        return (size_t)n;
}

static void send_batch(struct raw *raw, int depth, const char *what, const char *channel)
{
        static char batch[DEPTH_MAX * COMMAND_MAX];
        size_t      len = 0;

        for (int i = 0; i < depth; i++)
                len += put_command(batch + len, what, channel, draw());
        if (!raw_send(raw, batch, len))
                die("the server is gone");
}

/* So many lines; the first of a reply that is an error ends the program. */
static void take_replies(struct raw *raw, int lines)
{
        char line[256];

        while (lines-- > 0)
                if (!raw_line(raw, line, sizeof(line)) || line[0] == '-')
                        die("the server says: %s", line);
}

/* ------------------------------------------------------------------------------------------------------- loads */

static int ascending(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static double quantile(double q)
{
        return sampled > 0 ? samples[(size_t)((double)(sampled - 1) * q)] : 0;
}

static void sample(uint64_t begun_ns)
{
        if (sampled < SAMPLES_MAX)
                samples[sampled++] = (double)(now_ns() - begun_ns) / 1e3;
}

/* Every client sends, then every client is answered. */
static double load(int clients, int depth, uint64_t until_ns, const char *what, const char *channel)
{
        static struct raw raw[CLIENTS_MAX];
        int               lines = depth * (strcmp(what, "get") == 0 || channel != NULL ? 2 : 1);
        uint64_t          begun_ns[CLIENTS_MAX];
        double            commands = 0;

        for (int i = 0; i < clients; i++)
                if (!raw_open(&raw[i], server_name()))
                        die("cannot connect to %s", server_name());
        if (clients == 0)
                sleep_ms((unsigned)((until_ns - now_ns()) / NS_PER_MS));
        while (now_ns() < until_ns) {
                for (int i = 0; i < clients; i++) {
                        begun_ns[i] = now_ns();
                        send_batch(&raw[i], depth, what, channel);
                }
                for (int i = 0; i < clients; i++) {
                        take_replies(&raw[i], lines);
                        sample(begun_ns[i]);
                }
                commands += clients * depth;
        }
        for (int i = 0; i < clients; i++)
                raw_close(&raw[i]);
        return commands;
}

static double lag(uint64_t until_ns, const char *listener)
{
        static struct raw writer, told;
        char              message[128];
        double            commands = 0;

        if (!raw_open(&writer, server_name()) || !raw_open(&told, listener))
                die("cannot connect to %s or %s", server_name(), listener);
        tracker_begin(&told, NULL);
        for (; now_ns() < until_ns; commands++) {
                uint64_t acknowledged_ns;

                send_batch(&writer, 1, "set", NULL);
                take_replies(&writer, 1);
                acknowledged_ns = now_ns();
                if (!raw_reply(&told, message, sizeof(message)))
                        die("%s is gone", listener);
                sample(acknowledged_ns);
        }
        return commands;
}

int main(int argc, char **argv)
{
        int         clients = argc > 4 ? atoi(argv[1]) : -1, depth = argc > 4 ? atoi(argv[2]) : -1;
        const char *what = argc > 4 ? argv[4] : "", *name = argc > 5 ? argv[5] : NULL, *replica = getenv("MT_REPLICA");
        redisContext  *c = must_connect(), *follower = replica != NULL ? connect_to(replica) : NULL;
        struct account before, after;
        double         commands, replica_s = 0;
        uint64_t       begun_ns, ended_ns, until_ns;

        if (clients < 0 || clients > CLIENTS_MAX || depth < 0 || depth > DEPTH_MAX)
                die("writer CLIENTS DEPTH MS set|get|publish|idle|lag [CHANNEL|SERVER]");
        if (follower != NULL)
                replica_s = -account(follower).cpu_s;
        before = account(c);
        begun_ns = now_ns();
        until_ns = begun_ns + strtoull(argv[3], NULL, 10) * NS_PER_MS;
        if (strcmp(what, "lag") == 0 && name != NULL)
                commands = lag(until_ns, name);
        else
                commands = load(clients, depth, until_ns, what, name);
        ended_ns = now_ns();
        after = account(c);
        if (follower != NULL)
                replica_s += account(follower).cpu_s;
        qsort(samples, sampled, sizeof(samples[0]), ascending);
        printf("%.0f\t%.6f\t%.6f\t%.0f\t%.0f\t%.1f\t%.1f\t%.6f\n", commands, (double)(ended_ns - begun_ns) / 1e9,
               after.cpu_s - before.cpu_s, after.bytes - before.bytes, after.writes - before.writes, quantile(0.5),
               quantile(0.99), replica_s);
        redisFree(c);
        return 0;
}
