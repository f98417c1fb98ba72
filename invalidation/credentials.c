/* credentials.c - a small table in a private mapping, made when the first program authenticates.
 * Owns: the table and its lock. A record counts while valid is set; it is cleared first and set last, so that a child
 * that was forked in between finds no half of a password. */
#include "credentials.h"

#include "../l1/base/forklock.h"
#include "../l1/base/secret.h"
#include "address.h"

#include <sys/mman.h>

enum { CREDENTIALS_RECORDS = 64 };

struct credentials_record {
        _Atomic bool                 valid;
        struct invalidation_endpoint whose;
        struct credentials           what;
};

static struct forklock            credentials_lock;
static struct credentials_record *credentials_table; /* the lock's */
static unsigned                   credentials_next;  /* the lock's: replaced next when all are taken */

static bool credentials_map(void)
{
        size_t size = sizeof(struct credentials_record) * CREDENTIALS_RECORDS;
        void  *memory;

        if (credentials_table)
                return true;
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
                return false;
        madvise(memory, size, MADV_DONTDUMP);
        credentials_table = memory;
        return true;
}

static bool credentials_set(struct credentials *to, struct mt_bytes user, struct mt_bytes password)
{
        if (user.len > sizeof to->bytes || password.len > sizeof to->bytes - user.len)
                return false;
        to->named = user.ptr != NULL;
        to->user_len = (uint32_t)user.len;
        to->password_len = (uint32_t)password.len;
        if (user.ptr != NULL && user.len > 0)
                memcpy(to->bytes, user.ptr, user.len);
        if (password.ptr != NULL)
                mt_copy_secret(to->bytes + user.len, password.ptr, password.len);
        return true;
}

static bool credentials_equal(const struct credentials *kept, struct mt_bytes user, struct mt_bytes password)
{
        return kept->named == (user.ptr != NULL) && mt_bytes_equal(credentials_user(kept), user) &&
               mt_equal_secret(credentials_password(kept), password);
}

/* The record of this server, else a free one, else the one whose turn it is. */
static struct credentials_record *credentials_place(const struct invalidation_endpoint *whose)
{
        struct credentials_record *unused = NULL;

        for (unsigned i = 0; i < CREDENTIALS_RECORDS; i++) {
                struct credentials_record *record = &credentials_table[i];

                if (record->valid && address_equal(&record->whose, whose))
                        return record;
                if (!record->valid && !unused)
                        unused = record;
        }
        return unused ? unused : &credentials_table[credentials_next++ % CREDENTIALS_RECORDS];
}

bool credentials_keep(const struct invalidation_endpoint *whose, struct mt_bytes user, struct mt_bytes password)
{
        bool changed = false;

        forklock_acquire(&credentials_lock);
        if (credentials_map()) {
                struct credentials_record *record = credentials_place(whose);

                if (!record->valid || !address_equal(&record->whose, whose) ||
                    !credentials_equal(&record->what, user, password)) {
                        /* In this order for the eyes of a child that another thread forks meanwhile. */
                        atomic_store(&record->valid, false);
                        explicit_bzero(&record->what, sizeof record->what);
                        record->whose = *whose;
                        changed = credentials_set(&record->what, user, password);
                        atomic_store(&record->valid, changed);
                }
        }
        forklock_release(&credentials_lock);
        return changed;
}

enum credentials_result credentials_kept(const struct invalidation_endpoint *whose, struct credentials *found)
{
        enum credentials_result result = CREDENTIALS_NONE;

        forklock_acquire(&credentials_lock);
        for (unsigned i = 0; credentials_table && i < CREDENTIALS_RECORDS; i++) {
                const struct credentials_record *record = &credentials_table[i];

                if (!record->valid || !address_equal(&record->whose, whose))
                        continue;
                credentials_set(found, credentials_user(&record->what), credentials_password(&record->what));
                found->named = record->what.named;
                result = CREDENTIALS_FOUND;
                break;
        }
        forklock_release(&credentials_lock);
        return result;
}

enum credentials_result credentials_configured(const struct invalidation_config *config, struct credentials *found)
{
        size_t user_len = config->user ? strlen(config->user) : 0, password_len = 0;

        if (!config->user && !config->password_file)
                return CREDENTIALS_NONE;
        if (!credentials_set(found, mt_bytes(config->user, user_len), mt_bytes(NULL, 0)))
                return CREDENTIALS_UNREADABLE;
        if (config->password_file && !secret_read_line(config->password_file, found->bytes + user_len,
                                                       sizeof found->bytes - user_len, &password_len))
                return CREDENTIALS_UNREADABLE;
        found->password_len = (uint32_t)password_len; /* a user without a file: one without a password */
        return CREDENTIALS_FOUND;
}

enum credentials_result credentials_find(const struct invalidation_config   *config,
                                         const struct invalidation_endpoint *whose, struct credentials *found)
{
        enum credentials_result result = credentials_configured(config, found);

        return result == CREDENTIALS_NONE ? credentials_kept(whose, found) : result;
}

bool credentials_send(const struct credentials *credentials, struct link *link)
{
        struct mt_bytes auth[3] = {mt_bytes_of("AUTH"), credentials_user(credentials),
                                   credentials_password(credentials)};

        if (!credentials->named)
                auth[1] = auth[2];
        return link_command(link, auth, credentials->named ? 3 : 2);
}
