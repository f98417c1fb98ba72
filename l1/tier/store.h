/* store.h - one tier's backend, and how it is asked: in the thread that belongs to it, or where it allows that, in the
 * caller's. Opened when first needed; a call that comes before that waits for it, as long as it would for an answer.
 *
 * Every call waits until deadline_ns (CLOCK_MONOTONIC) at most. Beside the backend's own answers there is
 *   MT_ERROR with *late    it has not answered in time, and goes on by itself
 *   MT_ERROR with *failed  the backend is not there, or failed; else the caller's sink did
 * Thread-safe; errno is not kept. */
#ifndef MT_TIER_STORE_H
#define MT_TIER_STORE_H

#include "../base/forklock.h"
#include "debt.h"
#include "plugin.h"
#include "setting.h"

struct store_life;

/* What became of something that nobody waited for; in the store's thread. */
typedef void store_report_f(void *arg, bool well);

struct store {
        const struct tier_setting   *setting;
        const struct plugin_places  *places;
        store_report_f              *report;
        void                        *arg;
        struct forklock              lock; /* life */
        _Atomic(struct store_life *) life; /* NULL: not begun; another after store_pause() */
        _Atomic bool                 never;
};

void store_init(struct store *store, const struct tier_setting *setting, const struct plugin_places *places,
                store_report_f *report, void *arg);
void store_after_fork(struct store *store);
/* Let go of the backend: the thread closes it and ends. pause: another one may be begun by the next call. */
void store_stop(struct store *store, bool pause);
bool store_stopped(const struct store *store);

struct store_answer {
        enum mt_status status;
        bool           late, failed;
};
struct store_answer store_get(struct store *store, struct mt_bytes key, struct mt_sink *out, uint64_t *ttl_ms,
                              uint64_t deadline_ns);
/* It has no marks: known without asking, once it is open. */
bool                store_marks_not(const struct store *store);
struct store_answer store_mark(struct store *store, struct mt_bytes key, uint64_t *mark, uint64_t deadline_ns);
struct store_answer store_set(struct store *store, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms,
                              uint64_t mark, uint64_t deadline_ns);
struct store_answer store_health(struct store *store, uint64_t deadline_ns);

/* What is left of a time to live that was read then (precise clock); rounded down, 0: it is over. */
uint64_t store_remains(uint64_t ttl_ms, uint64_t read_ns);
/* The same as store_set(), without waiting, for what is left of ttl_ms when it is done; a success is counted in
 * shm->promotions. */
void store_promote(struct store *store, struct tier_shm *shm, struct mt_bytes key, struct mt_bytes value,
                   uint64_t ttl_ms, uint64_t read_ns, uint64_t mark);

enum store_removal { STORE_KEYS, STORE_PATTERN, STORE_ALL };
/* A removal as debt.h has it; shm NULL: no word stands for it. */
struct store_debt {
        struct tier_shm *shm;
        int              place;
        uint64_t         word;
};
/* A job that a removal is put into: store_remove_key() for each key, or for the one pattern. NULL: cannot be had. */
struct worker_job *store_removal(struct store *store, enum store_removal what, size_t bytes);
void               store_remove_key(struct worker_job *job, struct mt_bytes key);
/* Do it. The word of the debt is settled, whenever it is done. */
struct store_answer store_remove(struct worker_job *job, const struct store_debt *debt, uint64_t deadline_ns);

/* Flush, in the background, and pay. */
void store_pay(struct store *store, struct tier_shm *shm, const struct debt_flush *flush);

#endif
