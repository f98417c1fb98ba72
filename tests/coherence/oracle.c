/* oracle.c - the history of keys, and the judgement of reads by it. Linked to the parent and to the workers. */
#include "oracle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A key's time to live is counted by the server in whole milliseconds of its own clock. */
#define ORACLE_PX_SLACK_NS (5 * ORACLE_MS)

enum { ORACLE_HEAD = 64, ORACLE_NO_SUCH = -1 };

const char *const oracle_verdict_says[VERDICTS] = {
#define ROW(name, says) says,
        ORACLE_VERDICTS(ROW)
#undef ROW
};

const uint64_t oracle_age_ns[ORACLE_AGES] = {
        0,
        1 * ORACLE_MS,
        5 * ORACLE_MS,
        10 * ORACLE_MS,
        50 * ORACLE_MS,
        100 * ORACLE_MS,
        250 * ORACLE_MS,
        500 * ORACLE_MS,
        1000 * ORACLE_MS,
        UINT64_MAX,
};

uint64_t oracle_seed(uint64_t seed, uint64_t number)
{
        uint64_t z = seed + (number + 1) * UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return (z ^ (z >> 31)) | 1;
}

/* ---------------------------------------------------------------------------------------------------- the memory */

struct oracle *oracle_map(int fd)
{
        void *p = mmap(NULL, sizeof(struct oracle), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (p == MAP_FAILED) {
                fprintf(stderr, "the oracle's memory: %s\n", strerror(errno));
                exit(1);
        }
        close(fd);
        return p;
}

struct oracle *oracle_create(int *fd)
{
        *fd = memfd_create("oracle", 0);
        if (*fd < 0 || ftruncate(*fd, sizeof(struct oracle)) != 0) {
                fprintf(stderr, "the oracle's memory: %s\n", strerror(errno));
                exit(1);
        }
        return oracle_map(dup(*fd));
}

void oracle_clear(struct oracle *o)
{
        memset(o, 0, sizeof *o);
        o->serial = 1;
}

/* ------------------------------------------------------------------------------------------------------- values */

/* "database number seq length sum:", then a pattern of its own. The sum is over everything else. */
static uint64_t oracle_mix(uint64_t h, uint64_t word)
{
        h = (h ^ word) * UINT64_C(0x9fb21c651e98df25);
        return h ^ (h >> 32);
}

static uint64_t oracle_sum(const struct key *key, uint64_t seq, const char *pattern, size_t len)
{
        uint64_t h = oracle_mix(oracle_mix(key->database * UINT64_C(1000003) + key->number, seq), len), word;
        size_t   at = 0;

        for (; at + sizeof word <= len; at += sizeof word) {
                memcpy(&word, pattern + at, sizeof word);
                h = oracle_mix(h, word);
        }
        for (word = 0; at < len; at++)
                word = word << 8 | (unsigned char)pattern[at];
        return oracle_mix(h, word);
}

void oracle_key_name(const struct key *key, char name[24])
{
        snprintf(name, 24, "chaos:%u", key->number);
}

size_t oracle_value(const struct key *key, uint64_t seq, char *text)
{
        size_t len = key->size + seq % 13;
        char  *pattern = text + ORACLE_HEAD;
        int    head;

        for (size_t i = 0; i < len; i++)
                pattern[i] = (char)('a' + (seq * 7 + key->number + i / 8) % 26);
        head = snprintf(text, ORACLE_HEAD, "%u %u %llu %zu %016llx:", key->database, key->number,
                        (unsigned long long)seq, len, (unsigned long long)oracle_sum(key, seq, pattern, len));
        memmove(text + head, pattern, len);
        return (size_t)head + len;
}

/* The sequence that a value says it has; the verdict is GOOD, FOREIGN or TORN. */
static enum verdict oracle_parse(const struct key *key, const char *text, size_t text_len, uint64_t *seq)
{
        char               head[ORACLE_HEAD + 1];
        unsigned           database, number;
        unsigned long long said, sum;
        size_t             len;
        int                used = 0;

        memcpy(head, text, text_len < ORACLE_HEAD ? text_len : ORACLE_HEAD);
        head[text_len < ORACLE_HEAD ? text_len : ORACLE_HEAD] = '\0';
        if (sscanf(head, "%u %u %llu %zu %16llx:%n", &database, &number, &said, &len, &sum, &used) != 5 || used == 0)
                return VERDICT_TORN;
        *seq = said;
        if (database != key->database || number != key->number)
                return VERDICT_FOREIGN;
        if (len != text_len - (size_t)used || oracle_sum(key, said, text + used, len) != sum)
                return VERDICT_TORN;
        return VERDICT_GOOD;
}

/* ------------------------------------------------------------------------------------------------ what is written */

static struct entry *oracle_entry(struct key *key, uint64_t seq)
{
        return &key->ring[seq % ORACLE_RING];
}

uint64_t oracle_next(const struct key *key)
{
        return atomic_load(&key->sent) + 1;
}

uint64_t oracle_send(struct key *key, enum entry_kind kind, uint32_t px_ms)
{
        uint64_t      seq = oracle_next(key);
        struct entry *e = oracle_entry(key, seq);

        atomic_store(&e->seq, 0);
        atomic_store(&e->acked_ns, 0);
        atomic_store(&e->closed_ns, 0);
        atomic_store(&e->px_ms, px_ms);
        atomic_store(&e->kind, kind);
        atomic_store(&e->refused, 0);
        atomic_store(&e->sent_ns, oracle_now_ns());
        atomic_store(&e->seq, seq);
        atomic_store(&key->sent, seq); /* whoever is killed before this has not sent anything */
        return seq;
}

void oracle_acked(struct key *key, uint64_t seq)
{
        atomic_store(&oracle_entry(key, seq)->acked_ns, oracle_now_ns());
}

void oracle_refused(struct key *key, uint64_t seq)
{
        atomic_store(&oracle_entry(key, seq)->refused, 1);
}

/* Backwards over what has no outcome: a writer leaves no more than a few. */
void oracle_closed(struct key *key)
{
        for (uint64_t seq = atomic_load(&key->sent), n = 0; seq > 0 && n < ORACLE_RING / 2; seq--, n++) {
                struct entry *e = oracle_entry(key, seq);

                if (atomic_load(&e->acked_ns) != 0 || atomic_load(&e->closed_ns) != 0)
                        return;
                if (!atomic_load(&e->refused))
                        atomic_store(&e->closed_ns, oracle_now_ns());
        }
}

static struct loss *oracle_loss(struct oracle *o, const struct loss *what)
{
        uint32_t     n = atomic_load(&o->losses);
        struct loss *loss = &o->loss[n % ORACLE_LOSSES];

        *loss = *what;
        atomic_store(&loss->begin_ns, oracle_now_ns());
        atomic_store(&o->losses, n + 1);
        return loss;
}

struct loss *oracle_loss_begin(struct oracle *o, uint32_t databases)
{
        return oracle_loss(o, &(struct loss){.kind = LOSS_ABSENT, .databases = databases});
}

struct loss *oracle_loss_begin_back(struct oracle *o, uint32_t databases, uint64_t from_ns, uint64_t to_ns)
{
        return oracle_loss(
                o, &(struct loss){.kind = LOSS_BACK, .databases = databases, .from_ns = from_ns, .to_ns = to_ns});
}

void oracle_loss_end(struct loss *loss)
{
        atomic_store(&loss->end_ns, oracle_now_ns());
}

/* ------------------------------------------------------------------------------------------------------ the judge */

/* A writer's own copy of an entry; seq 0 when it is not there (any more). */
struct look {
        uint64_t seq, sent_ns, acked_ns, by_ns; /* by_ns: executed by then at the latest; 0: not known */
        uint32_t px_ms;
        bool     is_delete, refused;
};

static struct look oracle_look(const struct key *key, uint64_t seq)
{
        const struct entry *e = &key->ring[seq % ORACLE_RING];
        struct look         l = {.seq = atomic_load(&e->seq)};

        if (seq == 0 || l.seq != seq)
                return (struct look){0};
        l.sent_ns = atomic_load(&e->sent_ns);
        l.acked_ns = l.by_ns = atomic_load(&e->acked_ns);
        if (l.by_ns == 0)
                l.by_ns = atomic_load(&e->closed_ns);
        l.px_ms = atomic_load(&e->px_ms);
        l.is_delete = atomic_load(&e->kind) == ENTRY_DELETE;
        l.refused = atomic_load(&e->refused);
        return atomic_load(&e->seq) == seq ? l : (struct look){0};
}

/* When was it known to all that this sequence is not the newest: the acknowledgement of the first newer one that was
 * sent after after_ns. UINT64_MAX: never yet. What has left the ring is older than what is there. */
static uint64_t oracle_superseded_ns(const struct key *key, uint64_t seq, uint64_t newest, uint64_t after_ns)
{
        uint64_t from = seq + 1;

        if (newest >= ORACLE_RING && from < newest - ORACLE_RING + 2)
                from = newest - ORACLE_RING + 2;
        for (uint64_t i = from; i <= newest; i++) {
                struct look l = oracle_look(key, i);

                if (l.acked_ns != 0 && l.sent_ns >= after_ns)
                        return l.acked_ns;
        }
        return UINT64_MAX;
}

static bool oracle_concerns(const struct loss *loss, const struct key *key)
{
        return (loss->databases >> key->database & 1) != 0;
}

/* The newest loss of this key that began before then; ORACLE_NO_SUCH. */
static int oracle_newest_loss(const struct oracle *o, const struct key *key, uint64_t before_ns)
{
        uint32_t n = atomic_load(&o->losses);

        for (uint32_t i = n; i > 0 && i + ORACLE_LOSSES > n; i--) {
                const struct loss *loss = &o->loss[(i - 1) % ORACLE_LOSSES];

                if (oracle_concerns(loss, key) && atomic_load(&loss->begin_ns) < before_ns)
                        return (int)((i - 1) % ORACLE_LOSSES);
        }
        return ORACLE_NO_SUCH;
}

static uint64_t oracle_earlier(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

static uint64_t oracle_later(uint64_t a, uint64_t b)
{
        return a > b ? a : b;
}

/* Times at which a sequence may have been the key's value: from_ns, until it was known to all that it is not. */
struct reign {
        uint64_t from_ns, until_ns;
};

/* All reigns of one sequence: as a write, then as what losses brought back. */
struct reigns {
        struct reign reign[32];
        unsigned     count;
};

static bool oracle_reigned(const struct reigns *r, const struct loss *loss)
{
        for (unsigned i = 0; i < r->count; i++) {
                if (r->reign[i].from_ns < loss->to_ns && r->reign[i].until_ns > loss->from_ns)
                        return true;
        }
        return false;
}

/* What was executed before a loss began is gone when that is over, unless it is brought back; then it reigns until a
 * write that was sent after, or until the next loss. */
static void oracle_meet(struct reigns *r, const struct key *key, const struct look *l, uint64_t newest,
                        const struct loss *loss)
{
        uint64_t     begin_ns = atomic_load(&loss->begin_ns), end_ns = atomic_load(&loss->end_ns);
        bool         back = loss->kind == LOSS_BACK && oracle_reigned(r, loss);
        struct reign again = {begin_ns, UINT64_MAX};

        for (unsigned i = 0; end_ns != 0 && i < r->count; i++) {
                if (i > 0 || (l->by_ns != 0 && l->by_ns < begin_ns))
                        r->reign[i].until_ns = oracle_earlier(r->reign[i].until_ns, end_ns);
        }
        if (end_ns != 0)
                again.until_ns = oracle_superseded_ns(key, 0, newest, end_ns);
        if (back && r->count < sizeof r->reign / sizeof r->reign[0])
                r->reign[r->count++] = again;
}

/* Until when this sequence may be believed. Losses are gone through from the first one that may have met the write. */
static uint64_t oracle_until_ns(const struct oracle *o, const struct key *key, const struct look *l, uint64_t newest,
                                uint64_t read_end_ns)
{
        struct reigns r = {.reign = {{l->sent_ns, oracle_superseded_ns(key, l->seq, newest, 0)}}, .count = 1};
        uint64_t      last_ns = 0, n = atomic_load(&o->losses), i = n;

        while (i > 0 && i + ORACLE_LOSSES > n && atomic_load(&o->loss[(i - 1) % ORACLE_LOSSES].begin_ns) > l->sent_ns)
                i--;
        for (; i < n; i++) {
                const struct loss *loss = &o->loss[i % ORACLE_LOSSES];

                if (oracle_concerns(loss, key) && atomic_load(&loss->begin_ns) < read_end_ns)
                        oracle_meet(&r, key, l, newest, loss);
        }
        for (i = 0; i < r.count; i++)
                last_ns = oracle_later(last_ns, r.reign[i].until_ns);
        return last_ns;
}

static uint64_t oracle_age(uint64_t until_ns, uint64_t begin_ns)
{
        return begin_ns > until_ns ? begin_ns - until_ns : 0;
}

static enum verdict oracle_judge_value(const struct oracle *o, const struct key *key, struct oracle_read *read,
                                       uint64_t newest)
{
        struct look l = oracle_look(key, read->seq);
        uint64_t    until_ns;

        if (read->seq == 0 || read->seq > newest)
                return VERDICT_FUTURE;
        if (l.seq == 0) /* it has left the ring: so old at least */
                l.seq = read->seq;
        else if (l.is_delete || l.refused)
                return VERDICT_FUTURE;
        until_ns = oracle_until_ns(o, key, &l, newest, read->end_ns);
        read->age_ns = oracle_age(until_ns, read->begin_ns);
        if (read->age_ns > read->bound_ns)
                return VERDICT_STALE;
        if (read->seq < read->own_seq && read->age_ns > 0)
                return VERDICT_OWN;
        if (l.px_ms != 0 && l.by_ns != 0 && read->begin_ns > l.by_ns + l.px_ms * ORACLE_MS + ORACLE_PX_SLACK_NS) {
                read->age_ns = read->begin_ns - l.by_ns - l.px_ms * ORACLE_MS;
                return VERDICT_OUTLIVED;
        }
        return VERDICT_GOOD;
}

/* Could this write be why there is no such key? */
static bool oracle_explains_nil(const struct look *l, uint64_t end_ns)
{
        if (l->refused)
                return false;
        return l->is_delete || (l->px_ms != 0 && l->sent_ns + l->px_ms * ORACLE_MS < end_ns + ORACLE_PX_SLACK_NS);
}

/* The newest write that explains it, walking back from what was sent last; what is older could be believed no longer
 * than that. *because: its sequence, 0 is the time before the first write. */
static uint64_t oracle_nil_until_ns(const struct key *key, const struct oracle_read *read, uint64_t newest,
                                    uint64_t *because)
{
        uint64_t until_ns = UINT64_MAX;

        for (uint64_t seq = newest; seq > 0 && newest - seq < ORACLE_RING - 1; seq--) {
                struct look l = oracle_look(key, seq);

                if (l.seq != 0 && oracle_explains_nil(&l, read->end_ns)) {
                        *because = seq;
                        return until_ns;
                }
                if (l.acked_ns != 0)
                        until_ns = l.acked_ns;
        }
        *because = 0;
        return until_ns;
}

static enum verdict oracle_judge_nil(const struct oracle *o, const struct key *key, struct oracle_read *read,
                                     uint64_t newest)
{
        uint64_t because, until_ns = oracle_nil_until_ns(key, read, newest, &because);
        int      at = oracle_newest_loss(o, key, read->end_ns);
        bool     own = because >= read->own_seq;

        /* A loss that is not over may be followed by any write; after it, by those that were sent then. What went back
         * may have gone back to nothing. */
        if (at >= 0) {
                const struct loss *loss = &o->loss[at];
                uint64_t           over_ns = atomic_load(&loss->end_ns);
                struct look        mine = oracle_look(key, read->own_seq);

                until_ns = oracle_later(until_ns,
                                        over_ns == 0 ? UINT64_MAX : oracle_superseded_ns(key, 0, newest, over_ns));
                own = own || over_ns == 0 || over_ns > mine.sent_ns;
        }
        read->age_ns = oracle_age(until_ns, read->begin_ns);
        if (read->age_ns > read->bound_ns)
                return VERDICT_STALE;
        return own ? VERDICT_GOOD : VERDICT_OWN;
}

enum verdict oracle_judge(const struct oracle *o, struct oracle_read *read)
{
        const struct key *key = &o->key[read->key];
        uint64_t          newest = atomic_load(&key->sent);
        enum verdict      verdict;

        read->seq = read->age_ns = 0;
        if (read->text == NULL)
                return oracle_judge_nil(o, key, read, newest);
        verdict = oracle_parse(key, read->text, read->len, &read->seq);
        return verdict == VERDICT_GOOD ? oracle_judge_value(o, key, read, newest) : verdict;
}

/* -------------------------------------------------------------------------------------------------------- notes */

static void oracle_raise(_Atomic uint64_t *worst, uint64_t value)
{
        uint64_t was = atomic_load_explicit(worst, memory_order_relaxed);

        while (was < value && !atomic_compare_exchange_weak(worst, &was, value))
                ;
}

static void oracle_write_down(struct oracle *o, const struct finding *found)
{
        uint32_t        at = atomic_fetch_add(&o->findings, 1);
        struct finding *f;

        if (at >= ORACLE_FINDINGS)
                return;
        f = &o->finding[at];
        *f = *found;
        atomic_store(&f->ready, 1);
}

void oracle_note(struct oracle *o, uint32_t seat, uint32_t thread, bool bare, const struct oracle_read *read,
                 enum verdict verdict, uint64_t faults)
{
        struct seat_thread *t = &o->seat[seat].thread[thread];
        unsigned            age = 0;
        struct finding      found = {
                     .verdict = verdict,
                     .key = read->key,
                     .seat = seat,
                     .thread = thread,
                     .bare = bare,
                     .pid = getpid(),
                     .seq = read->seq,
                     .newest_seq = atomic_load(&o->key[read->key].sent),
                     .own_seq = read->own_seq,
                     .age_ns = read->age_ns,
                     .begin_ns = read->begin_ns,
                     .end_ns = read->end_ns,
                     .faults = faults,
                     .nil = read->text == NULL,
        };

        while (read->age_ns > oracle_age_ns[age])
                age++;
        atomic_fetch_add_explicit(&t->reads, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&t->nils, found.nil, memory_order_relaxed);
        atomic_fetch_add_explicit(&t->ages[age], 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&t->verdicts[verdict], 1, memory_order_relaxed);
        if (read->age_ns != 0 && verdict != VERDICT_OUTLIVED) {
                oracle_raise(&t->worst_ns, read->age_ns);
                if (faults == 0)
                        oracle_raise(&o->worst_ns[ORACLE_ROWS], read->age_ns);
                for (unsigned i = 0; i < ORACLE_ROWS; i++) {
                        if (faults >> i & 1)
                                oracle_raise(&o->worst_ns[i], read->age_ns);
                }
        }
        if (verdict == VERDICT_GOOD)
                return;
        if (read->text != NULL)
                snprintf(found.text, sizeof found.text, "%.*s", (int)(read->len < 40 ? read->len : 40), read->text);
        oracle_write_down(o, &found);
}
