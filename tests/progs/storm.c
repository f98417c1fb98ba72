/* storm.c - hot keys in an eviction storm: the program reads its hot keys over and over, while a foreigner writes ever
 * new ones to a server that has no room for them. Prints how many of the hot ones the server has in the end.
 *
 *   storm SECONDS NEW_PER_SECOND TOUCHES
 *
 * What was evicted is not put back. Each new key is read TOUCHES times by the foreigner, right after it was written. */
#include "raw.h"

enum { HOT = 200, HOT_TICK_MS = 50, STORM_TICKS_BEFORE = 20, VALUE = 1000 };

static char value[VALUE + 1];

static void hot_name(char key[32], int i)
{
        snprintf(key, 32, "hot:%d", i);
}

static void foreign(struct raw *raw, const char *verb, const char *key, const char *more)
{
        const char *argv[] = {verb, key, more};
        char        text[32];

        if (!raw_command(raw, more != NULL ? 3 : 2, argv, NULL) || !raw_reply(raw, text, sizeof(text)) ||
            text[0] == '-')
                die("%s: %s", verb, text);
}

static void write_new(struct raw *raw, long count, int touches)
{
        static long written;

        for (; count > 0; count--) {
                char key[32];

                snprintf(key, sizeof(key), "new:%ld", written++);
                foreign(raw, "SET", key, value);
                for (int i = 0; i < touches; i++)
                        foreign(raw, "GET", key, NULL);
        }
}

static void read_hot(redisContext *c)
{
        for (int i = 0; i < HOT; i++) {
                char key[32];

                hot_name(key, i);
                drop_reply(redisCommand(c, "GET %s", key));
        }
}

static int count_hot(struct raw *raw)
{
        int left = 0;

        for (int i = 0; i < HOT; i++) {
                char        key[32], text[32];
                const char *argv[] = {"EXISTS", key};

                hot_name(key, i);
                if (!raw_command(raw, 2, argv, NULL) || !raw_reply(raw, text, sizeof(text)))
                        die("EXISTS");
                left += strcmp(text, ":1") == 0;
        }
        return left;
}

int main(int argc, char **argv)
{
        long          ticks = argc == 4 ? atol(argv[1]) * 1000 / HOT_TICK_MS : 0;
        redisContext *c = must_connect();
        struct raw    raw;

        if (ticks <= 0 || !raw_open(&raw, server_name()))
                die("usage: storm SECONDS NEW_PER_SECOND TOUCHES");
        memset(value, 'v', VALUE);
        for (int i = 0; i < HOT; i++) {
                char key[32];

                hot_name(key, i);
                foreign(&raw, "SET", key, value);
        }
        for (long tick = -STORM_TICKS_BEFORE; tick < ticks; tick++) {
                uint64_t begin_ns = now_ns(), took_ms;

                read_hot(c);
                if (tick >= 0)
                        write_new(&raw, atol(argv[2]) * HOT_TICK_MS / 1000, atoi(argv[3]));
                took_ms = (now_ns() - begin_ns) / NS_PER_MS;
                if (took_ms < HOT_TICK_MS)
                        sleep_ms((unsigned)(HOT_TICK_MS - took_ms));
        }
        printf("%d of %d\n", count_hot(&raw), HOT);
        raw_close(&raw);
        redisFree(c);
        return 0;
}
