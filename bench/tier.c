/* tier.c - what a store costs as a tier, without anything above it: sets, looks at random keys, removals, one at a
 * time in one thread. usage: tier PLUGIN.so ADDRESS KEYS [OPTION=VALUE...] */
#include "../l1/tier/backend.h"
#include "common/clock.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPTIONS_MAX = 8, KEY = 24, VALUE = 100, LOOKS = 1000000, REMOVALS = 20000, SAMPLES = 200000 };

static const struct mt_backend *backend;
static void                    *self;
static char                     value[VALUE];
static uint64_t                 random_state = 1;

static void fail(const char *what, const char *why)
{
        fprintf(stderr, "tier: %s: %s\n", what, why);
        exit(1);
}

static char *room(struct mt_sink *sink, size_t len)
{
        (void)sink;
        return len <= sizeof value ? value : NULL;
}

static struct mt_bytes key_of(uint64_t n)
{
        static char key[KEY + 1];

        snprintf(key, sizeof key, "key:%020llu", (unsigned long long)n);
        return mt_bytes(key, KEY);
}

static uint64_t random_below(uint64_t n)
{
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return random_state % n;
}

static void open_store(int argc, char **argv)
{
        struct mt_option         option[OPTIONS_MAX];
        struct mt_backend_config config = {.address = mt_bytes_of(argv[2]),
                                           .prefix = mt_bytes_of("127.0.0.1:6379/0/"),
                                           .option = option,
                                           .timeout_ms = 1000};
        void                    *handle = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        char                     why[MT_BACKEND_WHY_MAX] = "";

        for (int i = 4; i < argc && config.options < OPTIONS_MAX; i++) {
                char *is = strchr(argv[i], '=');

                if (is == NULL)
                        fail(argv[i], "not OPTION=VALUE");
                *is = '\0';
                option[config.options++] = (struct mt_option){mt_bytes_of(argv[i]), mt_bytes_of(is + 1)};
        }
        backend = handle != NULL ? dlsym(handle, "mtshim_backend") : NULL;
        if (backend == NULL || backend->abi != MT_BACKEND_ABI)
                fail(argv[1], handle == NULL ? dlerror() : "not a plugin of this version");
        if (backend->open(&config, &self, why) != MT_OK)
                fail(argv[2], why);
}

static uint64_t look(uint64_t keys)
{
        struct mt_sink  sink = {room};
        struct mt_bytes key = key_of(random_below(keys));
        uint64_t        ttl_ms, start = clock_ns();

        if (backend->ops->get_with_ttl(self, key, &sink, &ttl_ms) != MT_OK)
                fail(key.ptr, "is not there");
        return clock_ns() - start;
}

static int compare(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
        static uint64_t sample[SAMPLES];
        uint64_t        keys = argc > 3 ? strtoull(argv[3], NULL, 10) : 0, start, clock = UINT64_MAX, sum = 0;

        if (keys == 0)
                fail("usage", "tier PLUGIN.so ADDRESS KEYS [OPTION=VALUE...]");
        open_store(argc, argv);
        memset(value, 'v', sizeof value);
        start = clock_ns();
        for (uint64_t i = 0; i < keys; i++)
                if (backend->ops->cache.set_with_ttl(self, key_of(i), mt_bytes(value, sizeof value), 3600000) != MT_OK)
                        fail(key_of(i).ptr, "cannot be set");
        printf("set           %8.2f us\n", (double)(clock_ns() - start) / (double)keys / 1e3);
        for (int i = 0; i < 1000; i++) { /* what it costs to ask for the time */
                uint64_t t = clock_ns(), took = clock_ns() - t;

                clock = took < clock ? took : clock;
        }
        for (int i = 0; i < LOOKS; i++) {
                uint64_t took = look(keys);

                took -= took > clock ? clock : took;
                sum += took;
                if (i >= LOOKS - SAMPLES)
                        sample[i - (LOOKS - SAMPLES)] = took;
        }
        qsort(sample, SAMPLES, sizeof sample[0], compare);
        printf("get_with_ttl  %8.2f us mean, %.2f p50, %.2f p99\n", (double)sum / LOOKS / 1e3,
               (double)sample[SAMPLES / 2] / 1e3, (double)sample[SAMPLES / 100 * 99] / 1e3);
        start = clock_ns();
        for (uint64_t i = 0; i < REMOVALS; i++)
                if (backend->ops->cache.remove(self, key_of(i * 7 % keys)) != MT_OK)
                        fail(key_of(i).ptr, "cannot be removed");
        printf("remove        %8.2f us\n", (double)(clock_ns() - start) / REMOVALS / 1e3);
        backend->close(self);
        return 0;
}
