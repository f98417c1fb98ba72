/* lmdb.c - LMDB in a folder on tmpfs, in the program itself: a read transaction for each GET, reset and renewed, and
 * the value copied out. No fsync: on tmpfs it would write nothing. Address: the folder. */
// pkg: lmdb
#include "../common/peer.h"

#include <lmdb.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAP_BYTES (UINT64_C(8) << 30) /* address space; tmpfs gives memory as it is written */
enum { PUTS = 10000 };                /* in one transaction, while loading */

const char *const peer_can = "threads write memory";

static MDB_env *lmdb_env; /* one for the process, as LMDB wants it */
static MDB_dbi  lmdb_dbi;

struct lmdb {
        MDB_txn *read, *load;
        unsigned puts;
};

static void lmdb_must(int rc, const char *what)
{
        if (rc != MDB_SUCCESS)
                peer_fail(what, mdb_strerror(rc));
}

static void lmdb_start(const char *folder)
{
        MDB_txn *txn;

        mkdir(folder, 0700);
        lmdb_must(mdb_env_create(&lmdb_env), "mdb_env_create");
        lmdb_must(mdb_env_set_mapsize(lmdb_env, MAP_BYTES), "mdb_env_set_mapsize");
        lmdb_must(mdb_env_open(lmdb_env, folder, MDB_NOSYNC | MDB_NOTLS, 0600), folder);
        lmdb_must(mdb_txn_begin(lmdb_env, NULL, 0, &txn), "mdb_txn_begin");
        lmdb_must(mdb_dbi_open(txn, NULL, 0, &lmdb_dbi), "mdb_dbi_open");
        lmdb_must(mdb_txn_commit(txn), "mdb_txn_commit");
}

void *peer_open(const char *address)
{
        struct lmdb *l = calloc(1, sizeof *l);

        if (l == NULL)
                peer_fail("lmdb", "no memory");
        if (lmdb_env == NULL)
                lmdb_start(address);
        lmdb_must(mdb_txn_begin(lmdb_env, NULL, MDB_RDONLY, &l->read), "mdb_txn_begin");
        mdb_txn_reset(l->read);
        return l;
}

void peer_close(void *handle)
{
        struct lmdb *l = handle;

        mdb_txn_abort(l->read);
        free(l);
}

static void lmdb_store(MDB_txn *txn, const char *key, const void *value, size_t bytes)
{
        MDB_val k = {.mv_size = PEER_KEY, .mv_data = (void *)(uintptr_t)key};
        MDB_val v = {.mv_size = bytes, .mv_data = (void *)(uintptr_t)value};

        lmdb_must(mdb_put(txn, lmdb_dbi, &k, &v, 0), key);
}

void peer_room(void *handle, size_t keys, size_t bytes)
{
        (void)handle, (void)keys, (void)bytes;
}

void peer_put(void *handle, const char *key, const void *value, size_t bytes)
{
        struct lmdb *l = handle;

        if (l->load == NULL)
                lmdb_must(mdb_txn_begin(lmdb_env, NULL, 0, &l->load), "mdb_txn_begin");
        lmdb_store(l->load, key, value, bytes);
        if (++l->puts % PUTS == 0)
                peer_flush(handle);
}

void peer_flush(void *handle)
{
        struct lmdb *l = handle;

        if (l->load != NULL)
                lmdb_must(mdb_txn_commit(l->load), "mdb_txn_commit");
        l->load = NULL;
}

void peer_set(void *handle, const char *key, const void *value, size_t bytes)
{
        MDB_txn *txn;

        (void)handle;
        lmdb_must(mdb_txn_begin(lmdb_env, NULL, 0, &txn), "mdb_txn_begin");
        lmdb_store(txn, key, value, bytes);
        lmdb_must(mdb_txn_commit(txn), "mdb_txn_commit");
}

void peer_get(void *handle, const char *key, size_t bytes)
{
        struct lmdb *l = handle;
        MDB_val      k = {.mv_size = PEER_KEY, .mv_data = (void *)(uintptr_t)key}, v;
        char        *copy;

        lmdb_must(mdb_txn_renew(l->read), "mdb_txn_renew");
        lmdb_must(mdb_get(l->read, lmdb_dbi, &k, &v), key);
        copy = malloc(bytes + 1);
        if (copy == NULL || v.mv_size != bytes)
                peer_fail(key, "not a value of that length");
        memcpy(copy, v.mv_data, bytes);
        __asm__ volatile("" : : "r"(copy) : "memory"); /* somebody looks at it */
        mdb_txn_reset(l->read);
        free(copy);
}

struct peer_memory peer_memory(void *handle)
{
        MDB_envinfo info;
        MDB_stat    stat;

        (void)handle;
        lmdb_must(mdb_env_info(lmdb_env, &info), "mdb_env_info");
        lmdb_must(mdb_env_stat(lmdb_env, &stat), "mdb_env_stat");
        return (struct peer_memory){.bytes = (double)(info.me_last_pgno + 1) * stat.ms_psize};
}

bool peer_more(void *handle, const char *line)
{
        (void)handle, (void)line;
        return false;
}
