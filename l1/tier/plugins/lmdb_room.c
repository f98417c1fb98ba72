/* lmdb_room.c - LMDB never overwrites a page that a reader may still see: every write takes new ones, and gives the old
 * ones free for the transactions after the next. When it runs out it fails, removals too. So its pages are counted
 * before:
 *
 *   0        used                         limit            pages - reserve   pages
 *   |--------|----------------------------|-- an eighth ---|--- reserve -----|
 *             what is set evicts from here  what was freed    removals, and
 *             on, what ends first first     just now          LMDB's own lists
 *
 * The file grows ahead of them, by blocks that the file system has given already: a disk that is full stops sets (they
 * evict then, within what the file has), not removals. A reader that is stopped in the middle of a look pins what is
 * freed from then on: sets fail when that has eaten what was free, removals when the reserve is gone too. */
#include "lmdb_store.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

enum room { ROOM_ENOUGH, ROOM_SHORT, ROOM_PINNED, ROOM_FAILED };
enum { ROOM_STEPS = 8, ROOM_STEP_PAGES = 16, ROOM_PIN_MS = 5 };

static uint64_t room_file_pages(const struct store *s)
{
        struct stat st;

        if (fstat(s->data, &st) != 0)
                return 0;
        return (uint64_t)st.st_size / s->page_bytes;
}

/* The file up to so many pages; what it has afterwards. */
static uint64_t room_grow(struct store *s, uint64_t pages)
{
        uint64_t have = room_file_pages(s), step = s->pages / 64 < 4096 ? s->pages / 64 : 4096;

        if (have >= pages)
                return have;
        for (unsigned tries = 0; tries < 2; tries++, step = 0) {
                uint64_t to = pages + step < s->pages ? pages + step : s->pages;

                while (fallocate(s->data, 0, (off_t)(have * s->page_bytes), (off_t)((to - have) * s->page_bytes)) != 0)
                        if (errno == EOPNOTSUPP)
                                return s->pages; /* a full disk is found out by the commit that fails */
                        else if (errno != EINTR)
                                goto smaller;
                atomic_store_explicit(&s->stuck, false, memory_order_relaxed);
                return to;
smaller:;
        }
        atomic_store_explicit(&s->stuck, true, memory_order_relaxed);
        return room_file_pages(s);
}

/* "       pid     thread     txnid": the oldest that anybody reads. */
static int room_oldest(const char *line, void *arg)
{
        size_t *oldest = arg, txnid;

        if (sscanf(line, "%*d %*x %zu", &txnid) == 1 && txnid < *oldest)
                *oldest = txnid;
        return 0;
}

/* Free pages that the next transaction may use: of the free list, what was freed before the oldest that is read. No
 * more are counted than are asked for. */
static enum room room_reusable(struct store *s, uint64_t wanted)
{
        MDB_envinfo info;
        MDB_cursor *cursor;
        MDB_txn    *txn;
        MDB_val     k, v;
        size_t      oldest, id, pages;
        uint64_t    found = 0;
        unsigned    reader;
        int         rc;

        if (mdb_env_info(s->env, &info) != MDB_SUCCESS)
                return ROOM_FAILED;
        oldest = info.me_last_txnid;
        if (mdb_reader_list(s->env, room_oldest, &oldest) < 0)
                return ROOM_FAILED;
        txn = store_read(s, ROOM_PIN_MS, &reader);
        if (txn == NULL)
                return ROOM_FAILED;
        rc = mdb_cursor_open(txn, 0, &cursor); /* number 0 is the free list: transaction, pages */
        if (rc == MDB_SUCCESS) {
                for (rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST); rc == MDB_SUCCESS && found < wanted;
                     rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
                        if (k.mv_size != sizeof id || v.mv_size < sizeof pages)
                                break;
                        memcpy(&id, k.mv_data, sizeof id);
                        memcpy(&pages, v.mv_data, sizeof pages);
                        if (id >= oldest)
                                break;
                        found += pages;
                }
                mdb_cursor_close(cursor);
        }
        store_read_end(s, reader);
        if (found >= wanted)
                return ROOM_ENOUGH;
        return oldest < info.me_last_txnid ? ROOM_PINNED : ROOM_SHORT;
}

static enum room room_look(struct store *s, uint64_t need)
{
        MDB_envinfo info;
        uint64_t    next, wanted = need + s->reserve, have;

        if (mdb_env_info(s->env, &info) != MDB_SUCCESS)
                return ROOM_FAILED;
        next = info.me_last_pgno + 1;
        have = room_file_pages(s);
        if (have < next + wanted && have < s->pages)
                have = room_grow(s, next + wanted < s->pages ? next + wanted : s->pages);
        if (have >= next + wanted)
                return ROOM_ENOUGH;
        return room_reusable(s, have > next ? wanted - (have - next) : wanted);
}

static bool room_step(struct store *s, uint64_t need)
{
        MDB_txn *txn = store_begin(s);

        if (txn == NULL)
                return false;
        if (store_reclaim(s, txn, need) == MDB_SUCCESS)
                return mdb_txn_commit(txn) == MDB_SUCCESS;
        mdb_txn_abort(txn);
        return false;
}

static int64_t room_ms(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

bool store_room(struct store *s, uint64_t need)
{
        uint64_t steps = ROOM_STEPS + (need + s->reserve) / ROOM_STEP_PAGES;
        int64_t  until = 0;
        int      dead;

        while (steps > 0) {
                switch (room_look(s, need)) {
                case ROOM_ENOUGH: return true;
                case ROOM_FAILED: return false;
                case ROOM_SHORT: /* too much is kept, or was freed only just now, which a step of any kind mends */
                        if (!room_step(s, need))
                                return false;
                        steps--;
                        break;
                case ROOM_PINNED: /* to evict would be for nothing: that reader pins what it frees */
                        if (until == 0) {
                                mdb_reader_check(s->env, &dead);
                                until = room_ms() + ROOM_PIN_MS;
                        } else if (room_ms() >= until) {
                                return false;
                        }
                        sched_yield();
                        break;
                }
        }
        return false;
}

uint64_t store_excess(struct store *s, MDB_txn *txn, uint64_t need)
{
        uint64_t cap = atomic_load_explicit(&s->stuck, memory_order_relaxed) ? room_file_pages(s) : s->pages;
        uint64_t used = need, kept = cap / 8 + s->reserve, limit = cap > kept ? cap - kept : 0;
        MDB_stat stat;

        for (unsigned i = 0; i < DB_COUNT; i++)
                if (mdb_stat(txn, s->dbi[i], &stat) == MDB_SUCCESS)
                        used += stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
        return used > limit ? used - limit : 0;
}
