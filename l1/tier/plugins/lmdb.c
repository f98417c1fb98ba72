/* lmdb.c - the disk tier: a store in a folder, kept by liblmdb, for all processes of one user on one host. It survives
 * their ends, kill -9 at any instruction included, and that of the machine.
 *
 *   lmdb:/var/cache/x?size=1G&sync=1
 *   size   bytes of data.mdb at most (16M to 16T). Decided by whoever opens the folder while nobody else has it open;
 *          to make it smaller than it is, remove the folder.
 *   sync   1: a call returns when the disk has it, so that what was removed does not come back after a power cut
 *          either. 0: the kernel has it, which is enough for programs that die; after each start of the machine the
 *          store is empty.
 *
 * A value dies 1 ms early at most. Kept are keys of up to 2048 bytes and values of up to a sixteenth of size. When it
 * is full what ends first goes first. A clock that is set back makes nothing live longer, a clock that is set forward
 * makes values die early. To read takes no descriptor and no system call (a page that is not in memory is read by the
 * kernel). LMDB maps the file: whoever truncates it, or a disk that cannot be read, ends the program by SIGBUS.
 * Remove the folder only while nobody has it open: who has goes on with what it was.
 * A process that is stopped while it writes holds up the others' writes, for timeout_ms each: they fail. */
#include "lmdb_store.h"

#include "../../base/hash.h"

#include <stdlib.h>

#define LMDB_SIZE_LEAST   (UINT64_C(16) << 20)
#define LMDB_SIZE_MOST    (UINT64_C(16) << 40)
#define LMDB_SIZE_DEFAULT (UINT64_C(1) << 30)

enum { LMDB_FOLDER_MAX = 3072, LMDB_FLUSH_STEPS = 16 };

struct lmdb {
        struct store *store;
        uint32_t      timeout_ms;
        uint64_t      prefix_hash;
        size_t        prefix_len;
        char          prefix[STORE_PREFIX_MAX];
};
struct lmdb_options {
        uint64_t size, sync;
};

static const struct plugin_option lmdb_options_of[] = {
        {"size", PLUGIN_SIZE, LMDB_SIZE_LEAST, LMDB_SIZE_MOST, offsetof(struct lmdb_options, size)},
        {"sync", PLUGIN_NUMBER, 0, 1, offsetof(struct lmdb_options, sync)},
        {0},
};

static struct mt_bytes lmdb_prefix(const struct lmdb *o)
{
        return mt_bytes(o->prefix, o->prefix_len);
}

static enum mt_status lmdb_status(int rc)
{
        return rc == MDB_SUCCESS ? MT_OK : rc == MDB_NOTFOUND ? MT_MISS : MT_ERROR;
}

static const char *lmdb_name(const void *self)
{
        (void)self;
        return "lmdb";
}

/* ------------------------------------------------------------------------------------------------------- reading */

static enum mt_status lmdb_read(struct lmdb *o, MDB_txn *txn, struct mt_bytes key, struct mt_sink *out,
                                uint64_t *ttl_ms)
{
        struct store_prefix p;
        struct store_entry  e;
        struct store_key    k;
        struct mt_bytes     inlined;
        char               *to;
        int                 rc = store_prefix_get(o->store, txn, lmdb_prefix(o), &p);

        if (rc == MDB_SUCCESS) {
                store_key_init(&k, p.number, key);
                rc = store_find(o->store, txn, &k, &e, &inlined);
        }
        if (rc != MDB_SUCCESS)
                return lmdb_status(rc);
        to = out->room(out, e.value_bytes);
        if (to == NULL || store_copy(o->store, txn, &e, inlined, to) != MDB_SUCCESS)
                return MT_ERROR;
        *ttl_ms = store_left_ms(o->store, &e); /* after the copy, which may have waited for the disk */
        return *ttl_ms > 0 ? MT_OK : MT_MISS;
}

static enum mt_status lmdb_get_with_ttl(void *self, struct mt_bytes key, struct mt_sink *out, uint64_t *ttl_ms)
{
        struct lmdb   *o = self;
        enum mt_status status;
        unsigned       reader;
        MDB_txn       *txn;

        if (key.len > STORE_KEY_MAX)
                return MT_MISS;
        txn = store_read(o->store, o->timeout_ms, &reader);
        if (txn == NULL)
                return MT_ERROR;
        status = lmdb_read(o, txn, key, out, ttl_ms);
        store_read_end(o->store, reader);
        return status;
}

static enum mt_status lmdb_get(void *self, struct mt_bytes key, struct mt_sink *out)
{
        uint64_t ttl_ms;

        return lmdb_get_with_ttl(self, key, out, &ttl_ms);
}

/* ------------------------------------------------------------------------------------------------------- writing */

static enum mt_status lmdb_end(struct lmdb *o, MDB_txn *txn, int rc)
{
        if (rc != MDB_SUCCESS) {
                store_abort(o->store, txn);
                return MT_ERROR;
        }
        return store_commit(o->store, txn) ? MT_OK : MT_ERROR;
}

static uint64_t lmdb_hash(const struct lmdb *o, struct mt_bytes key)
{
        return mt_hash(key.ptr, key.len, (struct hash_key){{o->prefix_hash, 0}});
}

static int lmdb_remove_in(struct lmdb *o, MDB_txn *txn, struct mt_bytes key)
{
        struct store_prefix p;
        struct store_key    k;
        int                 rc = store_prefix_make(o->store, txn, lmdb_prefix(o), &p);

        if (rc != MDB_SUCCESS)
                return rc;
        store_key_init(&k, p.number, key);
        rc = store_drop(o->store, txn, &k);
        return rc != MDB_SUCCESS ? rc : store_mark_void(o->store, txn, lmdb_hash(o, key));
}

static enum mt_status lmdb_remove(void *self, struct mt_bytes key)
{
        struct lmdb *o = self;
        MDB_txn     *txn;

        if (key.len > STORE_KEY_MAX)
                return MT_OK;
        txn = store_write(o->store, o->timeout_ms, 0);
        return txn == NULL ? MT_ERROR : lmdb_end(o, txn, lmdb_remove_in(o, txn, key));
}

static int lmdb_set_in(struct lmdb *o, MDB_txn *txn, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms)
{
        struct store_prefix p;
        struct store_key    k;
        int                 rc = store_prefix_make(o->store, txn, lmdb_prefix(o), &p);

        if (rc != MDB_SUCCESS)
                return rc;
        store_key_init(&k, p.number, key);
        rc = store_drop(o->store, txn, &k);
        if (rc == MDB_SUCCESS)
                rc = store_reclaim(o->store, txn, store_need(o->store, key, value));
        return rc != MDB_SUCCESS ? rc : store_put(o->store, txn, &k, value, ttl_ms);
}

/* MDB_SUCCESS, and *is: was nothing removed since the mark was taken? */
static int lmdb_mark_good(struct lmdb *o, MDB_txn *txn, struct mt_bytes key, uint64_t mark, bool *is)
{
        struct store_prefix p;
        uint64_t            removed = 0;
        int                 rc = store_prefix_make(o->store, txn, lmdb_prefix(o), &p);

        if (rc == MDB_SUCCESS)
                rc = store_mark_get(o->store, txn, lmdb_hash(o, key), &removed);
        *is = rc == MDB_SUCCESS && removed <= mark && p.voided <= mark;
        return rc;
}

/* mark NULL: whatever was removed. What is not kept is removed. */
static enum mt_status lmdb_store(struct lmdb *o, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms,
                                 const uint64_t *mark)
{
        bool           refused = value.len > o->store->pages / 16 * o->store->page_bytes, good = true;
        bool           keeps = !refused && ttl_ms > 0;
        enum mt_status status;
        MDB_txn       *txn;
        int            rc = MDB_SUCCESS;

        if (key.len > STORE_KEY_MAX)
                return MT_REFUSED;
        txn = store_write(o->store, o->timeout_ms, keeps ? store_need(o->store, key, value) : 0);
        if (txn == NULL)
                return MT_ERROR;
        if (mark != NULL)
                rc = lmdb_mark_good(o, txn, key, *mark, &good);
        if (rc == MDB_SUCCESS && !good) {
                store_abort(o->store, txn);
                return MT_STALE;
        }
        if (rc == MDB_SUCCESS)
                rc = keeps ? lmdb_set_in(o, txn, key, value, ttl_ms) : lmdb_remove_in(o, txn, key);
        status = lmdb_end(o, txn, rc);
        return status == MT_OK && refused ? MT_REFUSED : status;
}

static enum mt_status lmdb_set_with_ttl(void *self, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms)
{
        return lmdb_store(self, key, value, ttl_ms, NULL);
}

static enum mt_status lmdb_set_marked(void *self, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms,
                                      uint64_t mark)
{
        return lmdb_store(self, key, value, ttl_ms, &mark);
}

static enum mt_status lmdb_mark(void *self, struct mt_bytes key, uint64_t *mark)
{
        struct lmdb *o = self;
        unsigned     reader;
        MDB_txn     *txn = store_read(o->store, o->timeout_ms, &reader);

        (void)key;
        if (txn == NULL)
                return MT_ERROR;
        *mark = mdb_txn_id(txn);
        store_read_end(o->store, reader);
        return MT_OK;
}

/* ----------------------------------------------------------------------------------------------------- many keys */

/* All that the prefix has is out of reach by the first transaction, whatever it is; the rest tidies up, as sets do
 * too. */
static enum mt_status lmdb_flush(void *self)
{
        struct lmdb   *o = self;
        MDB_txn       *txn = store_write(o->store, o->timeout_ms, 0);
        enum mt_status status;

        if (txn == NULL)
                return MT_ERROR;
        status = lmdb_end(o, txn, store_prefix_void(o->store, txn, lmdb_prefix(o), true));
        for (unsigned i = 0; status == MT_OK && i < LMDB_FLUSH_STEPS; i++) {
                txn = store_write(o->store, 0, 0);
                if (txn == NULL || lmdb_end(o, txn, store_reclaim(o->store, txn, 0)) != MT_OK)
                        break;
        }
        return status;
}

/* One transaction after the other, each with so many keys. The first ends all marks of the prefix. */
static enum mt_status lmdb_remove_pattern(void *self, struct mt_bytes glob)
{
        struct lmdb        *o = self;
        enum mt_status      status = MT_OK;
        struct store_prefix p;
        struct store_key    from = {.len = 0};
        bool                done = false;

        for (bool first = true; status == MT_OK && !done; first = false) {
                MDB_txn *txn = store_write(o->store, o->timeout_ms, 0);
                int      rc = MDB_SUCCESS;

                if (txn == NULL)
                        return MT_ERROR;
                if (first)
                        rc = store_prefix_void(o->store, txn, lmdb_prefix(o), false);
                if (rc == MDB_SUCCESS)
                        rc = store_prefix_get(o->store, txn, lmdb_prefix(o), &p);
                if (rc == MDB_SUCCESS)
                        rc = store_drop_matching(o->store, txn, p.number, glob, &from, &done);
                status = lmdb_end(o, txn, rc);
        }
        return status;
}

/* Can it be read, and written? */
static bool lmdb_health_check(void *self)
{
        struct lmdb *o = self;
        MDB_txn     *txn = store_write(o->store, o->timeout_ms, 0);

        return txn != NULL && store_commit(o->store, txn);
}

/* ------------------------------------------------------------------------------------------------------- opening */

static enum mt_status lmdb_open(const struct mt_backend_config *config, void **self, char *why)
{
        static const struct hash_key key = {{UINT64_C(0x7072656669780000), 0}};
        struct lmdb_options          options = {.size = LMDB_SIZE_DEFAULT, .sync = 1};
        char                         folder[LMDB_FOLDER_MAX];
        struct lmdb                 *o;

        if (config->address.len == 0 || config->address.ptr[0] != '/' || config->address.len >= sizeof folder ||
            memchr(config->address.ptr, '\0', config->address.len) != NULL) {
                plugin_refuse(why, "'%.*s' is not the absolute path of a folder",
                              (int)(config->address.len < 80 ? config->address.len : 80), config->address.ptr);
                return MT_ERROR;
        }
        if (config->prefix.len > STORE_PREFIX_MAX) {
                plugin_refuse(why, "a prefix of %zu bytes is too long, %d are kept", config->prefix.len,
                              STORE_PREFIX_MAX);
                return MT_ERROR;
        }
        if (!plugin_options_take(config, lmdb_options_of, &options, why))
                return MT_ERROR;
        o = calloc(1, sizeof *o);
        if (o == NULL) {
                plugin_refuse(why, "no memory");
                return MT_ERROR;
        }
        memcpy(folder, config->address.ptr, config->address.len);
        folder[config->address.len] = '\0';
        o->timeout_ms = config->timeout_ms;
        o->prefix_len = config->prefix.len;
        if (o->prefix_len > 0)
                memcpy(o->prefix, config->prefix.ptr, o->prefix_len);
        o->prefix_hash = mt_hash(o->prefix, o->prefix_len, key);
        o->store = store_open(folder, options.size, options.sync != 0, why);
        if (o->store == NULL) {
                free(o);
                return MT_ERROR;
        }
        *self = o;
        return MT_OK;
}

static void lmdb_close(void *self)
{
        struct lmdb *o = self;

        store_close(&o->store);
        free(o);
}

static const struct mt_l2_ops lmdb_ops = {
        .cache = {.name = lmdb_name,
                  .get = lmdb_get,
                  .set_with_ttl = lmdb_set_with_ttl,
                  .remove = lmdb_remove,
                  .remove_pattern = lmdb_remove_pattern,
                  .flush = lmdb_flush,
                  .health_check = lmdb_health_check},
        .get_with_ttl = lmdb_get_with_ttl,
        .mark = lmdb_mark,
        .set_marked = lmdb_set_marked,
};

extern const struct mt_backend                                 mtshim_backend;
__attribute__((visibility("default"))) const struct mt_backend mtshim_backend = {
        .abi = MT_BACKEND_ABI,
        .size = sizeof(struct mt_backend),
        .name = "lmdb",
        .flags = MT_BACKEND_READS_ANYWHERE,
        .open = lmdb_open,
        .close = lmdb_close,
        .ops = &lmdb_ops,
};
