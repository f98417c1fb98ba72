/* tls_names.c - a table that only grows, in one private mapping made when the first program uses TLS. */
#include "tls_names.h"

#include "../l1/base/forklock.h"

#include <sys/mman.h>

struct tls_names_table {
        struct tls_names record[TLS_NAMES_MAX + 1]; /* one more, to see whether a set is there already */
        unsigned         count;
        size_t           used; /* of bytes, by the records that count */
        char             bytes[TLS_NAMES_BYTES];
};

static struct forklock         tls_names_lock;
static struct tls_names_table *tls_names_table; /* the lock's */

/* ------------------------------------------------------------------------------------------- with the options */

bool tls_names_settle(const struct invalidation_config *config, const struct invalidation_tls *wanted,
                      struct invalidation_tls *settled)
{
        const struct invalidation_tls *options = &config->tls;

        if (config->tls_use == INVALIDATION_TLS_OFF)
                return false;
        *settled = wanted != NULL ? *wanted : (struct invalidation_tls){.unverified = false};
        if (options->ca_file != NULL || options->ca_dir != NULL) {
                settled->ca_file = options->ca_file;
                settled->ca_dir = options->ca_dir;
        }
        if (options->cert_file != NULL) {
                settled->cert_file = options->cert_file;
                settled->key_file = options->key_file;
        }
        if (options->server_name != NULL) {
                settled->server_name = options->server_name;
                settled->check_name = true;
        }
        if (config->tls_verify != INVALIDATION_VERIFY_AUTO)
                settled->unverified = config->tls_verify == INVALIDATION_VERIFY_OFF;
        /* The listener shows the program's password to whoever it believes. A program that verifies in its own way may
         * believe one server alone; the system's store without a name believes everybody who bought a certificate. */
        return wanted != NULL || settled->unverified || settled->ca_file != NULL || settled->ca_dir != NULL ||
               settled->check_name;
}

/* ---------------------------------------------------------------------------------------------------- the table */

static bool tls_names_same(const char *a, const char *b)
{
        return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool tls_names_equal(const struct invalidation_tls *a, const struct invalidation_tls *b)
{
        return tls_names_same(a->ca_file, b->ca_file) && tls_names_same(a->ca_dir, b->ca_dir) &&
               tls_names_same(a->cert_file, b->cert_file) && tls_names_same(a->key_file, b->key_file) &&
               tls_names_same(a->server_name, b->server_name) && a->check_name == b->check_name &&
               a->unverified == b->unverified;
}

/* Behind what the table holds already, a path made absolute: the program may go elsewhere. False: no room. */
static bool tls_names_copy(struct tls_names_table *table, size_t *used, bool path, const char **name)
{
        char  *to = table->bytes + *used;
        size_t room = TLS_NAMES_BYTES - *used, at = 0;

        if (*name == NULL)
                return true;
        if (path && (*name)[0] != '/') {
                if (getcwd(to, room) == NULL)
                        return false;
                at = strlen(to);
                if (at + 1 >= room)
                        return false;
                to[at++] = '/';
        }
        if (strlen(*name) >= room - at)
                return false;
        strcpy(to + at, *name);
        *name = to;
        *used += strlen(to) + 1;
        return true;
}

/* A record counts when the count says so, which is last: a child forked in between finds no half of one. */
static const struct tls_names *tls_names_add(struct tls_names_table *table, const struct invalidation_tls *names)
{
        struct tls_names        *record = &table->record[table->count];
        struct invalidation_tls *copy = &record->names;
        size_t                   used = table->used;

        *record = (struct tls_names){.names = *names};
        if (!tls_names_copy(table, &used, true, &copy->ca_file) || !tls_names_copy(table, &used, true, &copy->ca_dir) ||
            !tls_names_copy(table, &used, true, &copy->cert_file) ||
            !tls_names_copy(table, &used, true, &copy->key_file) ||
            !tls_names_copy(table, &used, false, &copy->server_name))
                return NULL;
        for (unsigned i = 0; i < table->count; i++)
                if (tls_names_equal(&table->record[i].names, copy))
                        return &table->record[i];
        if (table->count == TLS_NAMES_MAX)
                return NULL;
        table->used = used;
        atomic_signal_fence(memory_order_seq_cst);
        table->count++;
        return record;
}

static struct tls_names_table *tls_names_map(void)
{
        void *memory;

        if (tls_names_table == NULL) {
                memory =
                        mmap(NULL, sizeof *tls_names_table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                tls_names_table = memory != MAP_FAILED ? memory : NULL;
        }
        return tls_names_table;
}

const struct tls_names *tls_names_keep(const struct invalidation_tls *names)
{
        const struct tls_names *kept = NULL;

        forklock_acquire(&tls_names_lock); /* taken over from a parent: what it was adding does not count */
        if (tls_names_map() != NULL)
                kept = tls_names_add(tls_names_table, names);
        forklock_release(&tls_names_lock);
        return kept;
}
