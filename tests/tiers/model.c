/* model.c - every interleaving of the few steps by which a value gets from a tier back into Redis, beside programs that
 * write and delete the key: is what was deleted, or overwritten, and acknowledged ever seen again? Exhaustive; and each
 * guard that is left out must be missed.
 *
 *   writer   forget in tier, mark | SET | store if the mark holds, else forget | acknowledged
 *   deleter  DEL permit | DEL key | forget in tier | acknowledged, unless its time was up
 *   flusher  FLUSHDB, permit and all | flush tier | acknowledged, unless its time was up
 *   reader   GET: nil | look in tier: answer | WATCH permit key, how old is the permit, GET: nil | look in tier |
 *            MULTI SET NX EXEC
 *   world    evicts the key, evicts the permit; a permit grows old; everybody may die before any step
 *
 * Time is in it as one rule: a permit is old when it has been there for longer than a deleter may take. So when it
 * grows old, whoever began before it was made and is not done yet has taken too long, and is not acknowledged. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WRITERS = 2, DELETERS = 2, READERS = 1, READS = 2, EVICTIONS = 2, PERMIT_EVICTIONS = 1 };
enum { NO_PERMIT, YOUNG, OLD };
enum guard {
        GUARD_none,
        GUARD_mark,   /* a writer stores without a look at its mark */
        GUARD_forget, /* a writer whose mark is void leaves the tier as it is */
        GUARD_begin,  /* a writer marks, and does not forget first */
        GUARD_permit, /* a deleter leaves the permit alone */
        GUARD_order,  /* it deletes the permit behind the key */
        GUARD_after,  /* it forgets in the tier before the DEL, and not after */
        GUARD_age,    /* a young permit is good enough */
        GUARD_late,   /* a deleter that has taken too long is acknowledged */
        GUARD_watch,  /* the key is not watched, and SET has no NX */
        GUARD_again,  /* the tier is not looked at again after WATCH */
        GUARD_count
};
static const char *const guard_name[] = {"whole",
                                         "no marks",
                                         "void mark, no forgetting",
                                         "no forgetting first",
                                         "no permit deleted",
                                         "permit deleted behind",
                                         "tier cleared before alone",
                                         "a young permit",
                                         "late is acknowledged",
                                         "key not watched",
                                         "tier not read again"};

/* Values are bits: writer i stores 1 << i. */
struct state {
        uint8_t key; /* in Redis; 0: none */
        uint8_t permit;
        uint8_t tier;
        uint8_t written; /* values whose SET has been executed */
        uint8_t last;    /* the last of them */
        uint8_t dead;    /* values that an acknowledged write or delete has ended */
        uint8_t evictions, permit_evictions;
        uint8_t began; /* 1: no state is all zeros, which is an empty place of the table */
        struct {
                uint8_t step, marked, before; /* before: what had been acknowledged when it began */
        } writer[WRITERS];
        struct {
                uint8_t step, covers, old, late; /* old: it began before the permit was made, and goes on */
        } deleter[DELETERS];                     /* the last one flushes */
        struct {
                uint8_t step, reads, dead, touched, value;
        } reader[READERS];
};

static enum guard missing;

/* ------------------------------------------------------------------------------------------------- what is shared */

static void touch(struct state *s)
{
        for (int i = 0; i < READERS; i++)
                s->reader[i].touched = 1;
}

static void touch_key(struct state *s)
{
        if (missing != GUARD_watch)
                touch(s);
}

static void forget(struct state *s)
{
        s->tier = 0;
        for (int i = 0; i < WRITERS; i++)
                s->writer[i].marked = 0;
}

static void delete_permit(struct state *s)
{
        if (s->permit != NO_PERMIT)
                touch(s);
        s->permit = NO_PERMIT;
}

static void delete_key(struct state *s, int i)
{
        if (s->key != 0)
                touch_key(s);
        s->key = 0;
        s->deleter[i].covers = s->written;
}

/* ------------------------------------------------------------------------------------------------------- processes */

static bool step_writer(struct state *s, int i)
{
        uint8_t value = (uint8_t)(1u << i);

        switch (s->writer[i].step++) {
        case 0:
                if (missing != GUARD_begin)
                        forget(s);
                s->writer[i].marked = 1;
                for (int k = 0; k < WRITERS; k++)
                        s->writer[i].before |= (uint8_t)((s->writer[k].step > 3) << k);
                return true;
        case 1:
                s->written |= value;
                s->key = s->last = value;
                touch_key(s);
                return true;
        case 2:
                if (s->writer[i].marked || missing == GUARD_mark)
                        s->tier = value;
                else if (missing != GUARD_forget)
                        forget(s);
                return true;
        case 3: s->dead |= s->writer[i].before; return true;
        default: return false;
        }
}

static bool step_deleter(struct state *s, int i)
{
        bool    flushes = i == DELETERS - 1;
        uint8_t step = s->deleter[i].step++;

        if (step == 0) { /* its time begins */
                if (missing == GUARD_after)
                        forget(s);
                s->deleter[i].old = 0; /* a permit that is made later is younger */
                return true;
        }
        if (step == 1 && !flushes) {
                if (missing == GUARD_order)
                        delete_key(s, i);
                else if (missing != GUARD_permit)
                        delete_permit(s);
                return true;
        }
        if (step == 2) {
                if (missing != GUARD_order || flushes)
                        delete_key(s, i);
                else
                        delete_permit(s);
                if (flushes)
                        delete_permit(s);
                return true;
        }
        if (step == 3) {
                if (missing != GUARD_after)
                        forget(s);
                return true;
        }
        if (step == 4 && (!s->deleter[i].late || missing == GUARD_late))
                s->dead |= s->deleter[i].covers;
        return step <= 4;
}

/* False with *bad: something dead was answered. */
static bool step_reader(struct state *s, int i, bool *bad)
{
        switch (s->reader[i].step) {
        case 0:
                if (s->reader[i].reads == READS)
                        return false;
                s->reader[i].reads++;
                s->reader[i].dead = s->dead;
                if (s->key == 0)
                        s->reader[i].step = 1;
                return true;
        case 1:
                *bad = (s->tier & s->reader[i].dead) != 0;
                s->reader[i].value = s->tier;
                s->reader[i].step = s->tier != 0 ? 2 : 0;
                return true;
        case 2:
                s->reader[i].touched = 0;
                if (s->permit == NO_PERMIT) {
                        s->permit = YOUNG;
                        for (int k = 0; k < DELETERS; k++)
                                s->deleter[k].old = s->deleter[k].step > 0 && s->deleter[k].step <= 4;
                }
                s->reader[i].step = (s->permit == OLD || missing == GUARD_age) && s->key == 0 ? 3 : 0;
                return true;
        case 3:
                if (missing != GUARD_again)
                        s->reader[i].value = s->tier;
                s->reader[i].step = s->reader[i].value != 0 ? 4 : 0;
                return true;
        case 4:
                if (!s->reader[i].touched) {
                        s->key = s->reader[i].value;
                        touch(s);
                }
                s->reader[i].step = s->reader[i].value = 0;
                return true;
        default: return false;
        }
}

static bool step_world(struct state *s, int what)
{
        switch (what) {
        case 0:
                if (s->key == 0 || s->evictions == EVICTIONS)
                        return false;
                s->evictions++;
                s->key = 0;
                touch_key(s);
                return true;
        case 1:
                if (s->permit == NO_PERMIT || s->permit_evictions == PERMIT_EVICTIONS)
                        return false;
                s->permit_evictions++;
                delete_permit(s);
                return true;
        default:
                if (s->permit != YOUNG)
                        return false;
                s->permit = OLD;
                for (int k = 0; k < DELETERS; k++)
                        s->deleter[k].late |= s->deleter[k].old && s->deleter[k].step > 0 && s->deleter[k].step <= 4;
                return true;
        }
}

/* ------------------------------------------------------------------------------------------------------- the walk */

static struct state *seen, *list; /* the table, and the same in the order in which they were met */
static struct from {
        uint64_t state;
        uint8_t  who;
} * came; /* whence the state of the same place in the list */
static uint64_t capacity, count, room;

static uint64_t hash(const struct state *s)
{
        const unsigned char *p = (const unsigned char *)s;
        uint64_t             h = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < sizeof *s; i++)
                h = (h ^ p[i]) * UINT64_C(0x100000001b3);
        return h ^ h >> 29;
}

static bool enter(struct state *table, uint64_t size, const struct state *s)
{
        static const struct state empty;
        uint64_t                  at = hash(s) & (size - 1);

        for (; memcmp(&table[at], &empty, sizeof empty) != 0; at = (at + 1) & (size - 1))
                if (memcmp(&table[at], s, sizeof *s) == 0)
                        return false;
        table[at] = *s;
        return true;
}

static void *claim(void *old, uint64_t n, size_t size)
{
        void *memory = realloc(old, n * size);

        if (memory == NULL) {
                fprintf(stderr, "no memory for %" PRIu64 " states\n", n);
                exit(2);
        }
        return memory;
}

static void grow(void)
{
        static const struct state empty;
        struct state             *old = seen;
        uint64_t                  had = capacity;

        capacity = capacity == 0 ? 1 << 16 : 2 * capacity;
        seen = claim(NULL, capacity, sizeof *seen);
        memset(seen, 0, capacity * sizeof *seen);
        for (uint64_t i = 0; i < had; i++)
                if (memcmp(&old[i], &empty, sizeof empty) != 0)
                        enter(seen, capacity, &old[i]);
        free(old);
}

static void push(const struct state *s, uint64_t from, int who)
{
        if (2 * count >= capacity)
                grow();
        if (!enter(seen, capacity, s))
                return;
        if (count == room) {
                room = room == 0 ? 1 << 16 : 2 * room;
                list = claim(list, room, sizeof *list);
                came = claim(came, room, sizeof *came);
        }
        came[count] = (struct from){from, (uint8_t)who};
        list[count++] = *s;
}

/* The walk that led there, one step a line. */
static void tell(uint64_t at, int who)
{
        if (at != 0)
                tell(came[at].state, came[at].who);
        printf("  process %d moves in: key %d permit %d tier %d dead %d\n", who, list[at].key, list[at].permit,
               list[at].tier, list[at].dead);
}

/* What was ended is back in Redis; or nobody writes, and the tier has what was written before something else. */
static bool wrong(const struct state *s)
{
        bool quiet = true;

        for (int i = 0; i < WRITERS; i++)
                quiet = quiet && (s->writer[i].step == 0 || s->writer[i].step > 3);
        return (s->key & s->dead) != 0 || (quiet && s->tier != 0 && s->tier != s->last);
}

/* What nobody will look at any more makes no difference between states. */
static void settle(struct state *s)
{
        for (int i = 0; i < WRITERS; i++)
                if (s->writer[i].step > 3)
                        s->writer[i].marked = s->writer[i].before = 0;
        for (int i = 0; i < DELETERS; i++)
                if (s->deleter[i].step > 4)
                        s->deleter[i].covers = s->deleter[i].old = s->deleter[i].late = 0;
        for (int i = 0; i < READERS; i++) {
                if (s->reader[i].step != 1)
                        s->reader[i].dead = 0;
                if (s->reader[i].step < 3)
                        s->reader[i].touched = 0;
                if (s->reader[i].step < 3 && missing != GUARD_again)
                        s->reader[i].value = 0;
        }
}

/* Whoever dies takes no further step: that is a walk in which the others go on, and so is in here already. */
static bool expand(uint64_t at)
{
        const struct state from = list[at];

        for (int who = 0; who < WRITERS + DELETERS + READERS + 3; who++) {
                struct state s = from;
                bool         bad = false, moved;

                if (who < WRITERS)
                        moved = step_writer(&s, who);
                else if (who < WRITERS + DELETERS)
                        moved = step_deleter(&s, who - WRITERS);
                else if (who < WRITERS + DELETERS + READERS)
                        moved = step_reader(&s, who - WRITERS - DELETERS, &bad);
                else
                        moved = step_world(&s, who - WRITERS - DELETERS - READERS);
                if (!moved)
                        continue;
                if (bad || wrong(&s)) {
                        if (missing == GUARD_none)
                                tell(at, who);
                        return false;
                }
                settle(&s);
                push(&s, at, who);
        }
        return true;
}

static bool holds(void)
{
        struct state first = {.began = 1};
        bool         good = true;

        free(seen);
        seen = NULL;
        capacity = count = 0;
        grow();
        push(&first, 0, 0);
        for (uint64_t at = 0; good && at < count; at++)
                good = expand(at);
        return good;
}

int main(void)
{
        int failed = 0;

        for (missing = GUARD_none; missing < GUARD_count; missing++) {
                bool good = holds(), wanted = missing == GUARD_none;

                printf("%-28s %12" PRIu64 " states: %s\n", guard_name[missing], count,
                       good ? "nothing comes back" : "what was ended comes back");
                failed += good != wanted;
        }
        printf("%d passed, %d failed\n", GUARD_count - failed, failed);
        return failed != 0;
}
