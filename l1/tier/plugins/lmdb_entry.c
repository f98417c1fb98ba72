/* lmdb_entry.c - entries: found, written, dropped, and what ends first found by the index. */
#include "lmdb_store.h"

#include "../../base/glob.h"
#include "../../base/hash.h"

#include <endian.h>

enum {
        ENTRY_PAGE_HEAD = 16,      /* LMDB's own, in each page: one chunk is what remains of it */
        ENTRY_CHUNKS_AT_ONCE = 16, /* chunks that a drop takes with it; more are left as garbage */
        ENTRY_BUDGET = 256,        /* what one step of reclaiming may cost: a chunk one, an entry ENTRY_COST */
        ENTRY_COST = 8,
        ENTRY_OVER_STEP = 8, /* entries that are over, in one step, while there is no need */
        ENTRY_MATCH_STEP = 128,
        ENTRY_LOOK_STEP = 4096,
        ENTRY_NEED = 128, /* pages that a small set writes at most, with its step of reclaiming */
        ENTRY_TAIL = 16,  /* bytes of hash in a key that is cut */
};
enum garbage_kind { GARBAGE_CHUNKS = 'c', GARBAGE_PREFIX = 'p' };

static const struct hash_key entry_hash[2] = {{{UINT64_C(0x6c6d64622d6b6579), UINT64_C(0x0000000000000001)}},
                                              {{UINT64_C(0x6c6d64622d6b6579), UINT64_C(0x0000000000000002)}}};

static MDB_val entry_val(const void *data, size_t size)
{
        return (MDB_val){.mv_size = size, .mv_data = (void *)(uintptr_t)data};
}

static void entry_be64(char *to, uint64_t v)
{
        v = htobe64(v);
        memcpy(to, &v, sizeof v);
}

static void entry_be32(char *to, uint32_t v)
{
        v = htobe32(v);
        memcpy(to, &v, sizeof v);
}

void store_key_init(struct store_key *k, uint32_t prefix, struct mt_bytes key)
{
        k->whole = key;
        entry_be32(k->bytes, prefix);
        k->len = 4 + key.len;
        if (k->len < STORE_LMDB_KEY) {
                if (key.len > 0)
                        memcpy(k->bytes + 4, key.ptr, key.len);
                return;
        }
        k->len = STORE_LMDB_KEY; /* no other key has this length */
        memcpy(k->bytes + 4, key.ptr, STORE_LMDB_KEY - 4 - ENTRY_TAIL);
        for (unsigned i = 0; i < 2; i++)
                entry_be64(k->bytes + STORE_LMDB_KEY - ENTRY_TAIL + 8 * i, mt_hash(key.ptr, key.len, entry_hash[i]));
}

/* ------------------------------------------------------------------------------------------------------ prefixes */

static MDB_val prefix_name(struct mt_bytes prefix, char name[1 + STORE_PREFIX_MAX])
{
        name[0] = 'p';
        if (prefix.len > 0)
                memcpy(name + 1, prefix.ptr, prefix.len);
        return entry_val(name, 1 + prefix.len);
}

int store_prefix_get(struct store *s, MDB_txn *txn, struct mt_bytes prefix, struct store_prefix *p)
{
        char    name[1 + STORE_PREFIX_MAX];
        MDB_val k = prefix_name(prefix, name), v;
        int     rc = mdb_get(txn, s->dbi[DB_PREFIXES], &k, &v);

        if (rc == MDB_SUCCESS && v.mv_size != sizeof *p)
                return MDB_CORRUPTED;
        if (rc == MDB_SUCCESS)
                memcpy(p, v.mv_data, sizeof *p);
        return rc;
}

static int prefix_put(struct store *s, MDB_txn *txn, struct mt_bytes prefix, const struct store_prefix *p)
{
        char    name[1 + STORE_PREFIX_MAX];
        MDB_val k = prefix_name(prefix, name), v = entry_val(p, sizeof *p);

        return mdb_put(txn, s->dbi[DB_PREFIXES], &k, &v, 0);
}

int store_prefix_make(struct store *s, MDB_txn *txn, struct mt_bytes prefix, struct store_prefix *p)
{
        int rc = store_prefix_get(s, txn, prefix, p);

        if (rc != MDB_NOTFOUND)
                return rc;
        *p = (struct store_prefix){.voided = 0}; /* nothing of it was ever removed: there is no record that goes */
        rc = store_next_prefix(txn, &p->number);
        return rc != MDB_SUCCESS ? rc : prefix_put(s, txn, prefix, p);
}

static int garbage_put(struct store *s, MDB_txn *txn, enum garbage_kind kind, uint64_t number, uint32_t chunks)
{
        char    name[9] = {(char)kind};
        MDB_val k = entry_val(name, sizeof name), v = entry_val(&chunks, sizeof chunks);

        entry_be64(name + 1, number);
        return mdb_put(txn, s->dbi[DB_GARBAGE], &k, &v, 0);
}

int store_prefix_void(struct store *s, MDB_txn *txn, struct mt_bytes prefix, bool flush)
{
        struct store_prefix p;
        int                 rc = store_prefix_make(s, txn, prefix, &p);

        p.voided = mdb_txn_id(txn);
        if (rc == MDB_SUCCESS && flush) {
                rc = garbage_put(s, txn, GARBAGE_PREFIX, p.number, 0);
                if (rc == MDB_SUCCESS)
                        rc = store_next_prefix(txn, &p.number);
        }
        return rc != MDB_SUCCESS ? rc : prefix_put(s, txn, prefix, &p);
}

/* ------------------------------------------------------------------------------------------------------- reading */

/* The entry, over or not. *rest: what follows it. */
static int entry_read(MDB_val v, struct store_entry *e, struct mt_bytes *rest)
{
        if (v.mv_size < sizeof *e)
                return MDB_CORRUPTED;
        memcpy(e, v.mv_data, sizeof *e);
        *rest = mt_bytes((const char *)v.mv_data + sizeof *e, v.mv_size - sizeof *e);
        if (e->key_bytes > rest->len || (e->chunks == 0 && e->value_bytes != rest->len - e->key_bytes))
                return MDB_CORRUPTED;
        return MDB_SUCCESS;
}

uint64_t store_left_ms(const struct store *s, const struct store_entry *e)
{
        struct store_now now = store_now(s);
        uint64_t         left = UINT64_MAX;

        if (e->wall_over_us != UINT64_MAX)
                left = e->wall_over_us > now.wall_us ? e->wall_over_us - now.wall_us : 0;
        if (e->boot_over_us != UINT64_MAX && e->clock == s->clock && e->clock != 0) {
                uint64_t boot = e->boot_over_us > now.boot_us ? e->boot_over_us - now.boot_us : 0;

                left = boot < left ? boot : left;
        }
        return left == UINT64_MAX ? MT_TTL_NONE : left / 1000;
}

int store_find(struct store *s, MDB_txn *txn, const struct store_key *k, struct store_entry *e,
               struct mt_bytes *inlined)
{
        MDB_val         name = entry_val(k->bytes, k->len), v;
        struct mt_bytes rest;
        int             rc = mdb_get(txn, s->dbi[DB_ENTRIES], &name, &v);

        if (rc == MDB_SUCCESS)
                rc = entry_read(v, e, &rest);
        if (rc != MDB_SUCCESS)
                return rc;
        if (k->len == STORE_LMDB_KEY && !mt_bytes_equal(mt_bytes(rest.ptr, e->key_bytes), k->whole))
                return MDB_NOTFOUND;
        *inlined = mt_bytes(rest.ptr + e->key_bytes, rest.len - e->key_bytes);
        return store_left_ms(s, e) > 0 ? MDB_SUCCESS : MDB_NOTFOUND;
}

struct chunk_name {
        char bytes[12];
};

static struct chunk_name chunk_name(uint64_t seq, uint32_t n)
{
        struct chunk_name c;

        entry_be64(c.bytes, seq);
        entry_be32(c.bytes + 8, n);
        return c;
}

int store_copy(struct store *s, MDB_txn *txn, const struct store_entry *e, struct mt_bytes inlined, char *to)
{
        MDB_cursor *cursor;
        uint64_t    at = inlined.len;
        int         rc;

        if (at > e->value_bytes)
                return MDB_CORRUPTED;
        if (at > 0)
                memcpy(to, inlined.ptr, at);
        if (e->chunks == 0)
                return MDB_SUCCESS;
        rc = mdb_cursor_open(txn, s->dbi[DB_CHUNKS], &cursor);
        if (rc != MDB_SUCCESS)
                return rc;
        for (uint32_t n = 0; rc == MDB_SUCCESS && n < e->chunks; n++) {
                struct chunk_name name = chunk_name(e->seq, n);
                MDB_val           k = entry_val(&name, sizeof name), v;

                rc = mdb_cursor_get(cursor, &k, &v, n == 0 ? MDB_SET_KEY : MDB_NEXT);
                if (rc == MDB_NOTFOUND ||
                    (rc == MDB_SUCCESS && (k.mv_size != sizeof name || memcmp(k.mv_data, &name, sizeof name) != 0 ||
                                           v.mv_size > e->value_bytes - at)))
                        rc = MDB_CORRUPTED;
                if (rc == MDB_SUCCESS) {
                        memcpy(to + at, v.mv_data, v.mv_size);
                        at += v.mv_size;
                }
        }
        mdb_cursor_close(cursor);
        return rc == MDB_SUCCESS && at != e->value_bytes ? MDB_CORRUPTED : rc;
}

/* ------------------------------------------------------------------------------------------------------ dropping */

struct index_name {
        char bytes[16];
};

static struct index_name index_name(uint64_t over_us, uint64_t seq)
{
        struct index_name i;

        entry_be64(i.bytes, over_us);
        entry_be64(i.bytes + 8, seq);
        return i;
}

/* Not there is as good as gone. */
static int entry_del(MDB_txn *txn, MDB_dbi dbi, const void *name, size_t len)
{
        MDB_val k = entry_val(name, len);
        int     rc = mdb_del(txn, dbi, &k, NULL);

        return rc == MDB_NOTFOUND ? MDB_SUCCESS : rc;
}

/* The last ones first, so that what remains is a shorter run. */
static int chunks_del(struct store *s, MDB_txn *txn, uint64_t seq, uint32_t from, uint32_t to)
{
        int rc = MDB_SUCCESS;

        while (rc == MDB_SUCCESS && to > from) {
                struct chunk_name name = chunk_name(seq, --to);

                rc = entry_del(txn, s->dbi[DB_CHUNKS], &name, sizeof name);
        }
        return rc;
}

static int entry_drop(struct store *s, MDB_txn *txn, const void *name, size_t len)
{
        MDB_val            k = entry_val(name, len), v;
        struct store_entry e;
        struct mt_bytes    rest;
        struct index_name  row;
        int                rc = mdb_get(txn, s->dbi[DB_ENTRIES], &k, &v);

        if (rc == MDB_NOTFOUND)
                return MDB_SUCCESS;
        if (rc == MDB_SUCCESS)
                rc = entry_read(v, &e, &rest);
        if (rc != MDB_SUCCESS)
                return rc;
        row = index_name(e.wall_over_us, e.seq);
        rc = entry_del(txn, s->dbi[DB_INDEX], &row, sizeof row);
        if (rc == MDB_SUCCESS && e.chunks > ENTRY_CHUNKS_AT_ONCE)
                rc = garbage_put(s, txn, GARBAGE_CHUNKS, e.seq, e.chunks);
        else if (rc == MDB_SUCCESS)
                rc = chunks_del(s, txn, e.seq, 0, e.chunks);
        return rc != MDB_SUCCESS ? rc : entry_del(txn, s->dbi[DB_ENTRIES], name, len);
}

int store_drop(struct store *s, MDB_txn *txn, const struct store_key *k)
{
        return entry_drop(s, txn, k->bytes, k->len);
}

/* The key that somebody stored, of what LMDB gave. */
static int entry_whole_key(MDB_val k, MDB_val v, struct mt_bytes *key)
{
        struct store_entry e;
        struct mt_bytes    rest;
        int                rc = entry_read(v, &e, &rest);

        if (rc != MDB_SUCCESS || k.mv_size < 4)
                return MDB_CORRUPTED;
        *key = k.mv_size == STORE_LMDB_KEY ? mt_bytes(rest.ptr, e.key_bytes)
                                           : mt_bytes((const char *)k.mv_data + 4, k.mv_size - 4);
        return MDB_SUCCESS;
}

int store_drop_matching(struct store *s, MDB_txn *txn, uint32_t prefix, struct mt_bytes glob, struct store_key *from,
                        bool *done)
{
        struct mt_bytes  literal = mt_bytes(glob.ptr, glob_literal_prefix(glob)), key;
        struct store_key head;
        MDB_cursor      *cursor = NULL;
        MDB_val          k, v;
        unsigned         looked = 0, dropped = 0;
        int              rc = mdb_cursor_open(txn, s->dbi[DB_ENTRIES], &cursor);

        if (literal.len > STORE_LMDB_KEY - 4 - ENTRY_TAIL) /* as much of it as a key that is cut has */
                literal.len = STORE_LMDB_KEY - 4 - ENTRY_TAIL;
        store_key_init(&head, prefix, literal);
        if (from->len == 0)
                *from = head;
        *done = false;
        while (rc == MDB_SUCCESS && !*done && looked < ENTRY_LOOK_STEP && dropped < ENTRY_MATCH_STEP) {
                k = entry_val(from->bytes, from->len);
                rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
                for (; rc == MDB_SUCCESS && looked < ENTRY_LOOK_STEP; rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
                        looked++;
                        *done = k.mv_size < head.len || memcmp(k.mv_data, head.bytes, head.len) != 0;
                        if (*done)
                                break;
                        memcpy(from->bytes, k.mv_data, k.mv_size);
                        from->len = k.mv_size;
                        rc = entry_whole_key(k, v, &key);
                        if (rc == MDB_SUCCESS && glob_match(glob, key))
                                break;
                        if (rc != MDB_SUCCESS)
                                break;
                }
                if (rc == MDB_NOTFOUND) {
                        *done = true;
                        rc = MDB_SUCCESS;
                } else if (rc == MDB_SUCCESS && !*done && looked < ENTRY_LOOK_STEP) {
                        rc = entry_drop(s, txn, from->bytes, from->len);
                        dropped++;
                }
        }
        if (cursor != NULL)
                mdb_cursor_close(cursor);
        return rc;
}

/* ------------------------------------------------------------------------------------------------------- writing */

static uint64_t entry_over(uint64_t now_us, uint64_t ttl_ms)
{
        uint64_t us, over;

        if (ttl_ms == MT_TTL_NONE)
                return UINT64_MAX;
        if (__builtin_mul_overflow(ttl_ms, UINT64_C(1000), &us) || __builtin_add_overflow(now_us, us, &over))
                return UINT64_MAX - 1;
        return over < UINT64_MAX ? over : UINT64_MAX - 1;
}

static size_t entry_page(const struct store *s)
{
        return s->page_bytes - ENTRY_PAGE_HEAD;
}

/* How much of a value its entry has: all of it, if that is no more than a page; else as much as fills one. */
static size_t entry_inlined(const struct store *s, size_t key_bytes, size_t value_bytes)
{
        size_t room = entry_page(s) - sizeof(struct store_entry) - key_bytes;

        return value_bytes < room ? value_bytes : room;
}

static size_t entry_kept_key(struct mt_bytes key)
{
        return 4 + key.len < STORE_LMDB_KEY ? 0 : key.len;
}

uint64_t store_need(const struct store *s, struct mt_bytes key, struct mt_bytes value)
{
        size_t   inlined = entry_inlined(s, entry_kept_key(key), value.len);
        uint64_t chunks = (value.len - inlined + entry_page(s) - 1) / entry_page(s);

        return ENTRY_NEED + chunks + chunks / 32;
}

static int chunks_put(struct store *s, MDB_txn *txn, uint64_t seq, struct mt_bytes rest)
{
        int rc = MDB_SUCCESS;

        for (uint32_t n = 0; rc == MDB_SUCCESS && rest.len > 0; n++) {
                size_t            len = rest.len < entry_page(s) ? rest.len : entry_page(s);
                struct chunk_name name = chunk_name(seq, n);
                MDB_val           k = entry_val(&name, sizeof name), v = entry_val(rest.ptr, len);

                rc = mdb_put(txn, s->dbi[DB_CHUNKS], &k, &v, 0);
                rest = mt_bytes(rest.ptr + len, rest.len - len);
        }
        return rc;
}

int store_put(struct store *s, MDB_txn *txn, const struct store_key *key, struct mt_bytes value, uint64_t ttl_ms)
{
        struct store_now   now = store_now(s);
        size_t             key_bytes = entry_kept_key(key->whole);
        size_t             inlined = entry_inlined(s, key_bytes, value.len);
        struct store_entry e = {.wall_over_us = entry_over(now.wall_us, ttl_ms),
                                .boot_over_us = entry_over(now.boot_us, ttl_ms),
                                .clock = s->clock,
                                .seq = mdb_txn_id(txn),
                                .value_bytes = value.len,
                                .key_bytes = (uint32_t)key_bytes};
        struct index_name  row = index_name(e.wall_over_us, e.seq);
        MDB_val            k = entry_val(key->bytes, key->len), v;
        int                rc;

        e.chunks = (uint32_t)((value.len - inlined + entry_page(s) - 1) / entry_page(s));
        v.mv_size = sizeof e + key_bytes + inlined;
        rc = mdb_put(txn, s->dbi[DB_ENTRIES], &k, &v, MDB_RESERVE);
        if (rc != MDB_SUCCESS)
                return rc;
        memcpy(v.mv_data, &e, sizeof e);
        if (key_bytes > 0)
                memcpy((char *)v.mv_data + sizeof e, key->whole.ptr, key_bytes);
        if (inlined > 0)
                memcpy((char *)v.mv_data + sizeof e + key_bytes, value.ptr, inlined);
        if (e.chunks > 0)
                rc = chunks_put(s, txn, e.seq, mt_bytes(value.ptr + inlined, value.len - inlined));
        if (rc != MDB_SUCCESS)
                return rc;
        v = k;
        k = entry_val(&row, sizeof row);
        return mdb_put(txn, s->dbi[DB_INDEX], &k, &v, 0);
}

/* --------------------------------------------------------------------------------------------------------- marks */

struct mark_place {
        char     row[4];
        unsigned word;
};

static struct mark_place mark_place(uint64_t hash)
{
        struct mark_place p = {.word = hash % MARK_ROW};

        entry_be32(p.row, (uint32_t)(hash % MARK_SLOTS / MARK_ROW));
        return p;
}

static int mark_row(struct store *s, MDB_txn *txn, const struct mark_place *p, uint64_t row[MARK_ROW])
{
        MDB_val k = entry_val(p->row, sizeof p->row), v;
        int     rc = mdb_get(txn, s->dbi[DB_MARKS], &k, &v);

        if (rc == MDB_SUCCESS && v.mv_size != MARK_ROW * sizeof *row)
                return MDB_CORRUPTED;
        if (rc == MDB_SUCCESS)
                memcpy(row, v.mv_data, v.mv_size);
        else if (rc == MDB_NOTFOUND)
                memset(row, 0, MARK_ROW * sizeof *row);
        return rc == MDB_NOTFOUND ? MDB_SUCCESS : rc;
}

int store_mark_get(struct store *s, MDB_txn *txn, uint64_t hash, uint64_t *removed)
{
        struct mark_place p = mark_place(hash);
        uint64_t          row[MARK_ROW];
        int               rc = mark_row(s, txn, &p, row);

        *removed = rc == MDB_SUCCESS ? row[p.word] : UINT64_MAX;
        return rc;
}

int store_mark_void(struct store *s, MDB_txn *txn, uint64_t hash)
{
        struct mark_place p = mark_place(hash);
        uint64_t          row[MARK_ROW];
        MDB_val           k = entry_val(p.row, sizeof p.row), v = entry_val(row, sizeof row);
        int               rc = mark_row(s, txn, &p, row);

        row[p.word] = mdb_txn_id(txn);
        return rc != MDB_SUCCESS ? rc : mdb_put(txn, s->dbi[DB_MARKS], &k, &v, 0);
}

/* ---------------------------------------------------------------------------------------------------- reclaiming */

/* The first row of a table, or of those from `from` on. */
static int entry_first(MDB_txn *txn, MDB_dbi dbi, const void *from, size_t len, MDB_val *k, MDB_val *v)
{
        MDB_cursor *cursor;
        int         rc = mdb_cursor_open(txn, dbi, &cursor);

        if (rc != MDB_SUCCESS)
                return rc;
        *k = entry_val(from, len);
        rc = mdb_cursor_get(cursor, k, v, len > 0 ? MDB_SET_RANGE : MDB_FIRST);
        mdb_cursor_close(cursor);
        return rc;
}

/* One entry of a prefix that was flushed; MDB_NOTFOUND: it has none any more. */
static int garbage_entry(struct store *s, MDB_txn *txn, uint64_t prefix)
{
        char    head[4];
        MDB_val k, v;
        int     rc;

        entry_be32(head, (uint32_t)prefix);
        rc = entry_first(txn, s->dbi[DB_ENTRIES], head, sizeof head, &k, &v);
        if (rc == MDB_SUCCESS && (k.mv_size < sizeof head || memcmp(k.mv_data, head, sizeof head) != 0))
                return MDB_NOTFOUND;
        if (rc == MDB_SUCCESS) {
                char name[STORE_LMDB_KEY]; /* what LMDB gave moves when something is written */

                if (k.mv_size > sizeof name)
                        return MDB_CORRUPTED;
                memcpy(name, k.mv_data, k.mv_size);
                rc = entry_drop(s, txn, name, k.mv_size);
        }
        return rc;
}

/* A step at the first piece of garbage. MDB_NOTFOUND: there is none. */
static int garbage_step(struct store *s, MDB_txn *txn, unsigned *budget)
{
        MDB_val  k, v;
        char     name[9];
        uint64_t number;
        uint32_t chunks, left;
        int      rc = entry_first(txn, s->dbi[DB_GARBAGE], NULL, 0, &k, &v);

        if (rc != MDB_SUCCESS)
                return rc;
        if (k.mv_size != sizeof name || v.mv_size != sizeof chunks)
                return MDB_CORRUPTED;
        memcpy(name, k.mv_data, sizeof name);
        memcpy(&number, name + 1, sizeof number);
        number = be64toh(number);
        memcpy(&chunks, v.mv_data, sizeof chunks);
        if (name[0] == GARBAGE_CHUNKS) {
                left = chunks > *budget ? chunks - *budget : 0;
                rc = chunks_del(s, txn, number, left, chunks);
                *budget -= chunks - left;
                if (rc == MDB_SUCCESS && left > 0)
                        return garbage_put(s, txn, GARBAGE_CHUNKS, number, left);
        } else {
                for (; rc == MDB_SUCCESS && *budget >= ENTRY_COST; *budget -= ENTRY_COST)
                        rc = garbage_entry(s, txn, number);
                if (rc != MDB_NOTFOUND) {
                        *budget = 0;
                        return rc;
                }
                rc = MDB_SUCCESS;
        }
        return rc != MDB_SUCCESS ? rc : entry_del(txn, s->dbi[DB_GARBAGE], name, sizeof name);
}

/* The entry that ends first, if it is over, or must go. MDB_NOTFOUND: neither. */
static int reclaim_first(struct store *s, MDB_txn *txn, bool must)
{
        char     name[STORE_LMDB_KEY];
        uint64_t over_us;
        MDB_val  k, v;
        char     row[16];
        int      rc = entry_first(txn, s->dbi[DB_INDEX], NULL, 0, &k, &v);

        if (rc != MDB_SUCCESS)
                return rc;
        if (k.mv_size != sizeof row || v.mv_size > sizeof name)
                return MDB_CORRUPTED;
        memcpy(&over_us, k.mv_data, sizeof over_us);
        if (!must && be64toh(over_us) > store_now(s).wall_us)
                return MDB_NOTFOUND;
        memcpy(row, k.mv_data, sizeof row);
        memcpy(name, v.mv_data, v.mv_size);
        rc = entry_drop(s, txn, name, v.mv_size);
        return rc != MDB_SUCCESS ? rc : entry_del(txn, s->dbi[DB_INDEX], row, sizeof row);
}

int store_reclaim(struct store *s, MDB_txn *txn, uint64_t need)
{
        unsigned budget = ENTRY_BUDGET, over = 0;
        int      rc = MDB_SUCCESS;

        for (bool first = true; rc == MDB_SUCCESS && budget > 0; first = false) {
                bool must = store_excess(s, txn, need) > 0;

                rc = first || must ? garbage_step(s, txn, &budget) : MDB_NOTFOUND;
                if (rc != MDB_NOTFOUND) /* garbage goes before what can still be used */
                        continue;
                if (!must && ++over > ENTRY_OVER_STEP)
                        break;
                rc = reclaim_first(s, txn, must);
                budget -= budget < ENTRY_COST ? budget : ENTRY_COST;
        }
        return rc == MDB_NOTFOUND ? MDB_SUCCESS : rc;
}
