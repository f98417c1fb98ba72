/* load.c - the values that are there before anything is timed. */
#include "../common/peer.h"
#include "results.h"
#include "rows.h"
#include "sequence.h"
#include "sides.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const size_t load_sizes[] = {16, 1024, 16384, 262144}; /* hot sets beside HOT_SET */

static void load_pause(void)
{
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static void load_sequences(const struct bench *b)
{
        const struct scale *s = b->scale;
        size_t              misses = s->pairs * 2 * 100;
        char                set[32], name[32];

        for (size_t i = 0; i < sizeof load_sizes / sizeof *load_sizes; i++) {
                snprintf(set, sizeof set, "v%zu", load_sizes[i]);
                snprintf(name, sizeof name, "hot-%zu", load_sizes[i]);
                sequence_write(bench_path(b, name), set, SEQUENCE_TURN, HOT_KEYS, HOT_KEYS);
        }
        sequence_write(bench_path(b, "hot-100"), HOT_SET, SEQUENCE_TURN, HOT_KEYS, HOT_KEYS);
        sequence_write(bench_path(b, "zipf"), HOT_SET, SEQUENCE_ZIPF, s->zipf_keys, s->draws);
        sequence_write(bench_path(b, "uniform"), HOT_SET, SEQUENCE_UNIFORM, s->uniform_keys, s->draws);
        sequence_write(bench_path(b, "miss"), "miss", SEQUENCE_TURN, misses, misses);
        sequence_write(bench_path(b, "missTCP"), "missTCP", SEQUENCE_TURN, misses, misses);
}

/* What the keys of the Zipf rows take, beyond themselves. */
static void load_measured(struct bench *b, struct side *s)
{
        double keys = (double)b->scale->zipf_keys, before[WORKER_NUMBERS], after[WORKER_NUMBERS];
        bool   measured = strcmp(s->store, "l1") != 0 && s->memory;

        if (measured) {
                worker_tell(&s->worker, "memory");
                worker_hear(&s->worker, before);
        }
        worker_ask(&s->worker, "load " HOT_SET " 0 %zu %d", b->scale->zipf_keys, HOT_BYTES);
        if (measured) {
                worker_tell(&s->worker, "memory");
                worker_hear(&s->worker, after);
                results_memory(strcmp(s->store, "redis") == 0 ? "Redis" : s->label,
                               (after[0] - before[0]) / keys - PEER_KEY - HOT_BYTES, keys);
        }
}

static void load_store(struct bench *b, struct side *s)
{
        const struct scale *scale = b->scale;

        load_measured(b, s);
        if (s->wide)
                worker_ask(&s->worker, "load " HOT_SET " %zu %zu %d", scale->zipf_keys,
                           scale->uniform_keys - scale->zipf_keys, HOT_BYTES);
        for (size_t i = 0; i < sizeof load_sizes / sizeof *load_sizes; i++)
                worker_ask(&s->worker, "load v%zu 0 %d %zu", load_sizes[i], HOT_KEYS, load_sizes[i]);
}

/* L1 alone with a ceiling of so many MiB, in a segment that was not there: what it takes, and of how many items, after
 * all of the keys were put. */
static void load_l1_filled(struct bench *b, const struct side *s, size_t mebibytes, double number[WORKER_NUMBERS])
{
        struct worker w;
        char          environment[sizeof s->environment + 64];

        snprintf(environment, sizeof environment, "%s-%zu MTSHIM_L1_SIZE=%zuM", s->environment, mebibytes, mebibytes);
        w = worker_start(s->name, environment, s->command, CORE_OURS);
        worker_ask(&w, "load " HOT_SET " 0 %zu %d", b->scale->zipf_keys, HOT_BYTES);
        worker_tell(&w, "memory");
        worker_hear(&w, number);
        worker_ask(&w, "unlink");
        worker_end(&w);
}

/* The smallest ceiling that holds the keys, all but one in a thousand, is looked for: then nothing is taken for room
 * that is not used, and nothing was evicted. */
static void load_l1_memory(struct bench *b)
{
        struct side *s = bench_side(b, "l1-memory");
        double       number[WORKER_NUMBERS], keys = (double)b->scale->zipf_keys, per_item;
        size_t       low = b->scale->zipf_keys * (PEER_KEY + HOT_BYTES) >> 20, high = 2 * low + 8;
        char         how[96];

        while (low + 1 < high) {
                size_t middle = low + (high - low) / 2;

                load_l1_filled(b, s, middle, number);
                if (number[1] >= 0.999 * keys)
                        high = middle;
                else
                        low = middle;
        }
        load_l1_filled(b, s, high, number);
        per_item = number[0] / number[1] - PEER_KEY - HOT_BYTES;
        results_memory(s->label, per_item, number[1]);
        snprintf(how, sizeof how, "all that the segment has of /dev/shm, by %.0f items; ceiling %zu MiB", number[1],
                 high);
        results_figure("bytes of an item beyond key and value, of 24 and 100 B", stats_once(per_item), "B", "<= 24",
                       how);
}

/* Sides of one store share what the first of them loads that is not ours. */
static bool load_is_first(const struct bench *b, const struct side *s)
{
        if (s->worker.pid == 0 || s->preloaded)
                return false;
        for (const struct side *o = b->side; o < s; o++)
                if (o->worker.pid != 0 && !o->preloaded && side_shared(o) && strcmp(o->store, s->store) == 0)
                        return false;
        return true;
}

static void load_replica(struct bench *b)
{
        struct side *replica = bench_side(b, "replica"), *bare = bench_side(b, "hiredis-unix");

        if (replica == NULL)
                return;
        for (int tries = 0; worker_ask(&replica->worker, "info keyspace db0:keys=") !=
                            worker_ask(&bare->worker, "info keyspace db0:keys=");
             tries++) {
                if (tries == 20000)
                        driver_fail("the replica has not what the server has");
                load_pause();
        }
}

void rows_load(struct bench *b)
{
        struct side *bare = bench_side(b, "hiredis-unix"), *l1;
        size_t       misses = b->scale->pairs * 2 * 100;

        load_sequences(b);
        sides_start(b, false);
        for (size_t i = 0; i < b->sides; i++)
                if (load_is_first(b, &b->side[i]))
                        load_store(b, &b->side[i]);
        worker_ask(&bare->worker, "load miss 0 %zu %d", misses, HOT_BYTES);
        worker_ask(&bare->worker, "load missTCP 0 %zu %d", misses, HOT_BYTES);
        load_replica(b);
        load_l1_memory(b);
        for (size_t i = 0; i < b->sides; i++)
                if (b->side[i].worker.pid != 0 && b->side[i].preloaded)
                        load_warm(b, &b->side[i].worker);
        sides_start(b, true);
        l1 = bench_side(b, "l1");
        if (l1 != NULL)
                load_store(b, l1);
}

double load_calls(struct bench *b, const char *command)
{
        return worker_ask(&bench_side(b, "hiredis-unix")->worker, "info commandstats cmdstat_%s:calls=", command);
}

void load_warm(struct bench *b, struct worker *w)
{
        worker_ask(w, "use %s %d", bench_path(b, "hot-100"), HOT_BYTES);
        for (int quiet = 0, tries = 0; quiet < 3; tries++) {
                double before = load_calls(b, "get");

                if (tries == 500)
                        driver_fail("%s: after %d reads of a hot key each still goes to the server", w->name,
                                    tries * 200);
                worker_ask(w, "get 0 200");
                quiet = load_calls(b, "get") > before ? 0 : quiet + 1;
                load_pause();
        }
}
